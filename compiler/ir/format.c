/* SPDX-License-Identifier: MIT
 * The table of data formats, expanded from formats.def of the runtime, whose readers it names.
 * Needs formats.def. Reads no file. */
#include "ir.h"
#include <string.h>

const DataFormat format_table[] = {
#define FORMAT(name, least, most, named, use, doc) {#name, least, most, named, use, doc},
#include "formats.def"
#undef FORMAT
};
const int format_count = LENGTH(format_table);

const DataFormat *format_find(const char *name) {
    for (int i = 0; i < format_count; i++)
        if (!strcmp(format_table[i].name, name)) return &format_table[i];
    return NULL;
}
