/* SPDX-License-Identifier: MIT
 * Interned names and the search for the nearest one, behind every "did you mean".
 * Needs the arena. Names live as long as the process.
 * Does not know what a name stands for; not safe for several threads. */
#include "base.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static struct {
    Arena *arena;
    Name *slots;
    size_t size, count;
} table;

static uint64_t hash_text(const char *text, size_t length) { /* FNV-1a */
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3u;
    return hash;
}

static Name *slot_of(const char *text, size_t length) {
    size_t i = (size_t)hash_text(text, length) & (table.size - 1);
    for (; table.slots[i]; i = (i + 1) & (table.size - 1)) {
        if (strncmp(table.slots[i], text, length) == 0 && !table.slots[i][length]) break;
    }
    return &table.slots[i];
}

static void grow(void) {
    Name *old = table.slots;
    size_t old_size = table.size;
    if (!table.arena) table.arena = arena_new();
    table.size = old_size ? old_size * 2 : ROOM(64, 2);
    table.slots = NEW_ARRAY(table.arena, Name, table.size);
    for (size_t i = 0; i < old_size; i++) {
        if (old[i]) *slot_of(old[i], strlen(old[i])) = old[i];
    }
}

/** The one pointer for this text; the text ends at `length` or at its first NUL. */
Name name_intern(const char *text, size_t length) {
    length = strnlen(text, length);
    if ((table.count + 1) * 4 > table.size * 3) grow();
    Name *slot = slot_of(text, length);
    if (!*slot) {
        *slot = arena_copy(table.arena, text, length);
        table.count++;
    }
    return *slot;
}

/** The same for NUL-terminated text. */
Name name_of(const char *text) {
    return name_intern(text, strlen(text));
}

/** The name whose text is printed so. */
Name name_printf(const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0) bug("name_printf: a format that cannot be printed: %s", format);
    char *text = malloc((size_t)length + 1);
    if (!text) out_of_memory();
    vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    Name name = name_intern(text, (size_t)length);
    free(text);
    return name;
}

enum { LONGEST = 63 };

static bool differ(char a, char b) {
    return tolower((unsigned char)a) != tolower((unsigned char)b);
}

/* Edit distance with adjacent transpositions (optimal string alignment), blind to case: names are
 * written in titles and other libraries as `Name` and `NAME`. */
static int distance(const char *a, const char *b) {
    int m = (int)strlen(a), n = (int)strlen(b);
    int rows[3][LONGEST + 1];
    for (int j = 0; j <= n; j++)
        rows[0][j] = j;
    for (int i = 1; i <= m; i++) {
        int *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int best = above[j - 1] + differ(a[i - 1], b[j - 1]);
            if (above[j] + 1 < best) best = above[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            bool swapped =
                i > 1 && j > 1 && !differ(a[i - 1], b[j - 2]) && !differ(a[i - 2], b[j - 1]);
            if (swapped && above2[j - 2] + 1 < best) best = above2[j - 2] + 1;
            row[j] = best;
        }
    }
    return rows[m % 3][n];
}

/** The nearest of `count` candidates within one to three edits, by the word's length; the first
 * of equals; NULL where none is so near. */
Name name_nearest(Name word, const Name *candidates, size_t count) {
    size_t length = strlen(word);
    if (length > LONGEST) return NULL;
    int limit = length <= 4 ? 1 : length <= 7 ? 2 : 3, found = limit + 1;
    Name nearest = NULL;
    for (size_t i = 0; i < count; i++) {
        Name candidate = candidates[i];
        if (!candidate || candidate == word || strlen(candidate) > LONGEST) continue;
        int edits = distance(word, candidate);
        /* A word of which every letter changes is another word, not a slip. */
        if (edits >= (int)length) continue;
        if (edits < found) {
            found = edits;
            nearest = candidate;
        }
    }
    return nearest;
}
