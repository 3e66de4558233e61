/* SPDX-License-Identifier: MIT
 * What the user sees while training: a bar on a terminal, warnings, errors. Needs run.h.
 * Writes to stderr only; nothing here goes into a log. */
#include "run.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_terminal(void) {
    const char *term = getenv("TERM");
    return isatty(STDERR_FILENO) && term && *term && strcmp(term, "dumb") != 0;
}

static void lead(const char *word, const char *colour) {
    const char *plain = getenv("NO_COLOR");
    if (is_terminal() && !(plain && *plain))
        fprintf(stderr, "\r\033[K\033[1;%sm%s:\033[0m ", colour, word);
    else
        fprintf(stderr, "%s: ", word);
}

void warn(const char *format, ...) {
    va_list list;
    va_start(list, format);
    lead("warning", "35");
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
}

void complain(const Fault *fault) {
    fflush(stdout);
    lead("error", "31");
    fprintf(stderr, "%s\n", fault->text);
}

void bar_start(Bar *bar, const Options *options, int64_t step) {
    *bar = (Bar){.on = is_terminal() && !options->no_progress && !options->quiet,
                 .start = io_now(),
                 .first_step = step};
}

static const char *duration(double seconds, char text[24]) {
    long whole = (long)(seconds + 0.5);
    if (whole >= 3600)
        snprintf(text, 24, "%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
    else
        snprintf(text, 24, "%ld:%02ld", whole / 60, whole % 60);
    return text;
}

void bar_show(Bar *bar, const Progress *progress, int64_t epochs, int64_t step, int64_t steps,
              int64_t examples) {
    enum { WIDTH = 24 };
    double now = bar->on ? io_now() : 0;
    if (!bar->on || now - bar->last < 0.1) return;
    bar->last = now;
    char cells[WIDTH + 1], left[24];
    int64_t full = steps ? WIDTH * step / steps : 0;
    for (int i = 0; i < WIDTH; i++)
        cells[i] = i < full ? '=' : i == full ? '>' : ' ';
    cells[WIDTH] = 0;
    double spent = now - bar->start, done = (double)(progress->step - bar->first_step);
    double each = done > 0 ? spent / done : 0;
    fprintf(stderr,
            "\r\033[K"
            "epoch %lld/%lld [%s] step %lld/%lld  %.0f examples/s  loss %.4g  %s left",
            (long long)progress->epoch + 1, (long long)epochs, cells, (long long)step,
            (long long)steps, spent > 0 ? (double)examples / spent : 0,
            progress->loss_count ? progress->loss_sum / (double)progress->loss_count : 0,
            duration(each * (double)(progress->total - progress->step), left));
    fflush(stderr);
}

void bar_clear(Bar *bar) {
    if (!bar->on || bar->last == 0) return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    bar->last = 0;
}
