# Data of the tests of tests/nan: two inputs, one that is the same in every row, a target. -v odd=N: row N holds ODD.
BEGIN {
    print "a,b,same,t"
    for (i = 1; i <= 40; i++) {
        a = ((i * 37) % 41) / 20 - 1
        b = ((i * 23) % 43) / 20 - 1
        printf "%s,%.3f,0.5,%.3f\n", i == row ? odd : sprintf("%.3f", a), b, a * b + 0.5
    }
}
