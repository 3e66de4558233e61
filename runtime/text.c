/* SPDX-License-Identifier: MIT
 * Numbers as text, both ways, whatever the locale, and the nearest of some names.
 * Needs libc. Reads no files. */
#define _GNU_SOURCE
#include "io.h"
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static double parse_slowly(const char *text, size_t size) {
    static locale_t plain;
    if (!plain) plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    char small[64], *copy = size < sizeof small ? small : io_alloc(size + 1, 1);
    memcpy(copy, text, size);
    copy[size] = 0;
    double value = strtod_l(copy, NULL, plain);
    if (copy != small) free(copy);
    return value;
}

bool number_parse(const char *text, size_t size, double *value) {
    const char *at = text, *end = text + size;
    bool minus = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+')) at++;
    uint64_t digits = 0;
    int count = 0, seen = 0, exponent = 0;
    for (bool point = false; at < end; at++) {
        if (*at == '.' && !point) {
            point = true;
            continue;
        }
        if (*at < '0' || *at > '9') break;
        seen++;
        if (digits || *at != '0') count++;
        if (count <= 19) digits = digits * 10 + (uint64_t)(*at - '0');
        if (point) exponent--;
    }
    if (!seen) return false;
    if (at < end && (*at == 'e' || *at == 'E')) {
        bool down = ++at < end && *at == '-';
        if (at < end && (*at == '-' || *at == '+')) at++;
        if (at == end) return false;
        int written = 0;
        for (; at < end && *at >= '0' && *at <= '9'; at++)
            if (written < 100000) written = written * 10 + (*at - '0');
        exponent += down ? -written : written;
    }
    if (at != end) return false;
    /* Exact operands and one rounding give the nearest double (Clinger 1990, fast path). */
    if (count <= 19 && digits < (UINT64_C(1) << 53) && exponent >= -22 && exponent <= 22) {
        double whole = (double)digits;
        whole = exponent < 0 ? whole / powers[-exponent] : whole * powers[exponent];
        *value = minus ? -whole : whole;
    } else {
        *value = parse_slowly(text, size);
    }
    return isfinite(*value);
}

const char *number_text(double value, int bytes, char text[NUMBER_TEXT]) {
    if (isnan(value)) return strcpy(text, "nan");
    if (isinf(value)) return strcpy(text, value < 0 ? "-inf" : "inf");
    for (int places = 1; places <= 17; places++) {
        snprintf(text, NUMBER_TEXT, "%.*g", places, value);
        double back = strtod(text, NULL);
        if (bytes == 4 ? (float)back != (float)value : back != value) continue;
        /* "1000", not "1e+03": zeros are exact as long as the type holds every whole number. */
        const char *mark = strchr(text, 'e');
        int exponent = mark ? atoi(mark + 1) : 0;
        if (exponent >= places && exponent < (bytes == 4 ? 7 : 15))
            snprintf(text, NUMBER_TEXT, "%.*g", exponent + 1, value);
        break;
    }
    return text;
}

int text_distance(const char *a, const char *b) {
    enum { LONGEST = 63 };
    int la = (int)strlen(a), lb = (int)strlen(b);
    if (la > LONGEST || lb > LONGEST) return LONGEST;
    int row[3][LONGEST + 1];
    for (int j = 0; j <= lb; j++)
        row[0][j] = j;
    for (int i = 1; i <= la; i++) {
        int *now = row[i % 3], *last = row[(i + 2) % 3], *before = row[(i + 1) % 3];
        now[0] = i;
        for (int j = 1; j <= lb; j++) {
            int best = last[j - 1] + (a[i - 1] != b[j - 1]);
            if (last[j] + 1 < best) best = last[j] + 1;
            if (now[j - 1] + 1 < best) best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
    }
    return row[la % 3][lb];
}

const char *text_nearest(const char *wanted, const char *const *names, int count) {
    const char *nearest = NULL;
    int least = (int)strlen(wanted) / 3 + 1; /* farther than this is another word */
    for (int i = 0; i < count; i++) {
        int distance = text_distance(wanted, names[i]);
        size_t size = strlen(wanted);
        if (size >= 3 && !strncmp(names[i], wanted, size) && distance > 1) distance = 1;
        if (distance <= least && (!nearest || distance < least)) {
            nearest = names[i];
            least = distance;
        }
    }
    return nearest;
}
