/* SPDX-License-Identifier: MIT
 * What defs require of `--set` and of schedules: conditions that the program "check" gives.
 * Needs run.h. Knows no condition: their names say what to tell. */
#include "run.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static char *settings_text(const Options *options) {
    char *all = io_format("%s", "");
    for (int i = 0; i < options->nsettings; i++) {
        char number[NUMBER_TEXT];
        char *more =
            io_format("%s%s--set %s=%s", all, i ? " " : "; given are ", options->settings[i].name,
                      number_text(options->settings[i].value, 8, number));
        free(all);
        all = more;
    }
    return all;
}

bool run_check(Run *run, const Progress *progress, Fault *fault) {
    const GrProgram *check = run_program(run, GR_CHECK);
    const char *when = progress ? "step " : "start ";
    bool any = false;
    for (int i = 0; check && i < check->nresults; i++)
        any = any || !strncmp(check->results[i].name, when, strlen(when));
    if (!any) return true;
    run_plain(run, check);
    for (int i = 0; i < check->nresults; i++) {
        const char *name = check->results[i].name;
        if (strncmp(name, when, strlen(when)) != 0 || run_value(run, &check->results[i], 0, 0) != 0)
            continue;
        char *settings = settings_text(run->options);
        if (progress)
            fault_set(fault, GR_FAILED, "%s (at step %lld, epoch %lld%s)", name + strlen(when),
                      (long long)progress->step + 1, (long long)progress->epoch + 1, settings);
        else
            fault_set(fault, GR_USAGE, "%s (%s)", name + strlen(when),
                      *settings ? settings + 2 : "as the file says");
        free(settings);
        return false;
    }
    return true;
}
