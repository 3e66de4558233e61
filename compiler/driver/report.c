/* SPDX-License-Identifier: MIT
 * The points of all tests in order: TAP on standard output, JUnit's XML where it is asked for.
 * Needs what test processes wrote: a line a point, then lines of what was said. Runs no test. */
#include "test.h"
#include <stdlib.h>
#include <string.h>

typedef struct Point {
    bool passed;
    double seconds;
    const char *file, *name, *said;
} Point;

struct Report {
    Arena *arena;
    const Options *options;
    VEC(Point) points;
    int failed;
};

Report *report_new(Arena *arena, const Options *options) {
    Report *report = NEW(arena, Report);
    report->arena = arena;
    report->options = options;
    printf("TAP version 13\n");
    return report;
}

static void add(Report *report, bool passed, double seconds, const char *file, const char *name) {
    VEC_PUSH(
        report->arena, report->points,
        ((Point){.passed = passed, .seconds = seconds, .file = file, .name = name, .said = ""}));
    report->failed += !passed;
    printf("%s %d - %s\n", passed ? "ok" : "not ok", report->points.len, name);
}

void report_take(Report *report, const char *file, FILE *from) {
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    while ((length = getline(&line, &room, from)) > 0) {
        if (line[length - 1] == '\n') line[length - 1] = '\0';
        char *second = strchr(line, '\t'), *third = second ? strchr(second + 1, '\t') : NULL;
        bool passed = !strncmp(line, "ok\t", 3);
        if (third && (passed || !strncmp(line, "not ok\t", 7))) {
            add(report, passed, strtod(second + 1, NULL), file,
                arena_copy(report->arena, third + 1, strlen(third + 1)));
            continue;
        }
        printf("%s%s\n", *line == '#' ? "" : "# ", line);
        if (!report->points.len) continue;
        Point *point = &report->points.at[report->points.len - 1];
        point->said = arena_printf(report->arena, "%s%s\n", point->said, line);
    }
    free(line);
    fflush(stdout);
}

void report_fault(Report *report, const char *file, const char *what) {
    add(report, false, 0, file, arena_printf(report->arena, "%s: %s", file, what));
}

static void put_escaped(FILE *out, const char *text) {
    for (; *text; text++) {
        const char *known = strchr("&<>\"", *text);
        static const char *const names[] = {"&amp;", "&lt;", "&gt;", "&quot;"};
        if (known)
            fputs(names[known - "&<>\""], out);
        else if ((unsigned char)*text >= ' ' || *text == '\n')
            fputc(*text, out);
    }
}

static void put_case(Arena *arena, FILE *out, const Point *point) {
    fputs("    <testcase classname=\"", out);
    put_escaped(out, point->file);
    fputs("\" name=\"", out);
    put_escaped(out, point->name);
    fprintf(out, "\" time=\"%.3f\">", point->seconds);
    if (!point->passed) {
        const char *first = !strncmp(point->said, "# ", 2) ? point->said + 2 : point->said;
        int length = (int)strcspn(first, "\n");
        fputs("<failure message=\"", out);
        put_escaped(out, length ? arena_printf(arena, "%.*s", length, first) : "not ok");
        fputs("\">", out);
        put_escaped(out, point->said);
        fputs("</failure>", out);
    }
    fputs("</testcase>\n", out);
}

/* A suite for each file, in the order of the command line. */
static bool write_junit(const Report *report, const char *path) {
    FILE *out = output_open(report->arena, path);
    if (!out) return false;
    fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n", out);
    for (int i = 0; i < report->points.len;) {
        int end = i, failed = 0;
        double seconds = 0;
        for (; end < report->points.len && report->points.at[end].file == report->points.at[i].file;
             end++) {
            failed += !report->points.at[end].passed;
            seconds += report->points.at[end].seconds;
        }
        fputs("  <testsuite name=\"", out);
        put_escaped(out, report->points.at[i].file);
        fprintf(out, "\" tests=\"%d\" failures=\"%d\" time=\"%.3f\">\n", end - i, failed, seconds);
        for (; i < end; i++)
            put_case(report->arena, out, &report->points.at[i]);
        fputs("  </testsuite>\n", out);
    }
    fputs("</testsuites>\n", out);
    return output_close(out, path);
}

int report_end(Report *report) {
    const char *filter = report->options->filter, *junit = report->options->junit;
    if (junit && !write_junit(report, junit)) return EXIT_DIAGNOSED;
    printf("1..%d\n%d passed, %d failed\n", report->points.len, report->points.len - report->failed,
           report->failed);
    if (filter && !report->points.len) {
        fprintf(stderr, "gradus test: no test has '%s' in its name\n", filter);
        return EXIT_USAGE;
    }
    return report->failed ? EXIT_MISMATCH : EXIT_OK;
}
