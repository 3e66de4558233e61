# Mean and covariance of the columns PREFIX0, PREFIX1, … against 0 and RATIO^|i - j| (0: the identity, -1: any
# variances, but no two columns with anything in common); a column that is 0 throughout is left out.
BEGIN { FS = "," }
NR == 1 { for (i = 1; i <= NF; i++) if ($i ~ "^" prefix "[0-9]+$") at[n++] = i; next }
{
  rows++
  for (i = 0; i < n; i++) { x[i] = $(at[i]); mean[i] += x[i]; size[i] += x[i] * x[i] }
  for (i = 0; i < n; i++) for (j = 0; j <= i; j++) both[i, j] += x[i] * x[j]
}
END {
  for (i = 0; i < n; i++) { mean[i] /= rows; if (mean[i]^2 > worst^2) worst = mean[i]; left += size[i] == 0 }
  for (i = 0; i < n; i++) for (j = 0; j <= i; j++) {
    if (!size[i] || !size[j] || (ratio < 0 && i == j)) continue
    d = both[i, j] / rows - mean[i] * mean[j] - (i == j ? 1 : ratio > 0 ? ratio^(i - j) : 0)
    if (ratio < 0) d /= sqrt(size[i] * size[j]) / rows
    if (d * d > far * far) far = d
  }
  good = worst^2 < 1e-10 && far^2 < 1e-6
  printf "%s: %d rows, %d columns, %d left out, %s\n", prefix, rows, n, left, good ? "as promised" : "mean " worst " covariance " far
}
