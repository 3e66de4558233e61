/* SPDX-License-Identifier: MIT
 * The examples of doc comments, for `gradus test`. Needs driver.h. Prints nothing itself. */
#ifndef GRADUS_EXAMPLE_H
#define GRADUS_EXAMPLE_H
#include "driver.h"
/* `fault` is NULL where the example holds. */
typedef void ExampleReport(const char *def, const char *text, const char *fault, void *context);
/* Runs each line "Example: ..." of the doc comments of the module's own declarations, interpreted
 * and compiled. `path` is the file's. */
void examples_run(const Module *module, const char *path, const Options *options,
                  ExampleReport *report, void *context);
#endif
