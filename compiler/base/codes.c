/* SPDX-License-Identifier: MIT
 * The explanations of diagnostic codes, behind `gradus explain`.
 * Needs codes.def, a row for each code.
 * Does not print. */
#include "base.h"
#include <string.h>

static const struct {
    const char *code, *text;
} codes[] = {
#define CODE(code, title, text) {#code, #code ": " title "\n\n" text},
#include "codes.def"
#undef CODE
};

/** Title and explanation of a code such as "E0201"; NULL where there is none. */
const char *diag_explain(const char *code) {
    for (int i = 0; i < LENGTH(codes); i++) {
        if (strcmp(codes[i].code, code) == 0) return codes[i].text;
    }
    return NULL;
}
