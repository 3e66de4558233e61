/* SPDX-License-Identifier: MIT
 * Reads recordings: a line for each thing, its first word says which.
 * Needs base. Checks form and counts, not what names mean.
 *   case SUBJECT             a new one
 *   examples N / steps N
 *   leaf NAME COUNT v v v    a value given to a leaf
 *   eval|step|next|moments STEP NAME COUNT v v v    a value expected */
#include "recording.h"
#include <stdlib.h>
#include <string.h>

typedef struct Reader {
    Arena *arena;
    const char *path;
    int line;
    char *at;
} Reader;

static char *word(Reader *r) {
    r->at += strspn(r->at, " \n");
    char *from = r->at;
    r->at += strcspn(r->at, " \n");
    if (*r->at) *r->at++ = '\0';
    return from;
}

static bool fault(const Reader *r, const char *what) {
    fprintf(stderr, "%s:%d: %s\n", r->path, r->line, what);
    return false;
}

static bool numbers_read(Reader *r, Case *c, const char *kind) {
    Numbers n = {.program = arena_copy(r->arena, kind, strlen(kind)), .line = r->line};
    bool given = !strcmp(kind, "leaf");
    if (!given) n.step = atoi(word(r));
    const char *name = word(r);
    n.name = arena_copy(r->arena, name, strlen(name));
    n.count = atoll(word(r));
    if (n.count < 1 || n.count > 1000000) return fault(r, "a count from 1 to a million is wanted");
    n.values = NEW_ARRAY(r->arena, double, n.count);
    for (int64_t i = 0; i < n.count; i++) {
        const char *text = word(r);
        char *end;
        n.values[i] = strtod(text, &end);
        if (end == text || *end) return fault(r, "fewer numbers than its count says");
    }
    if (*word(r)) return fault(r, "more numbers than its count says");
    if (given)
        VEC_PUSH(r->arena, c->given, n);
    else
        VEC_PUSH(r->arena, c->expected, n);
    return true;
}

static bool line_read(Reader *r, CaseList *cases) {
    if (r->at[0] == '#' || r->at[strspn(r->at, " \n")] == '\0') return true;
    const char *kind = word(r);
    if (!strcmp(kind, "case")) {
        size_t length = strcspn(r->at, "\n");
        Case c = {.subject = arena_copy(r->arena, r->at, length), .line = r->line, .steps = 1};
        VEC_PUSH(r->arena, *cases, c);
        return true;
    }
    if (cases->len == 0) return fault(r, "`case` comes first");
    Case *c = &cases->at[cases->len - 1];
    static const char *const kinds[] = {"leaf", "eval", "step", "next", "moments"};
    for (int i = 0; i < LENGTH(kinds); i++)
        if (!strcmp(kind, kinds[i])) return numbers_read(r, c, kind);
    bool examples = !strcmp(kind, "examples");
    if (!examples && strcmp(kind, "steps")) return fault(r, "this is no line of a recording");
    int value = atoi(word(r));
    if (value < 1) return fault(r, "a number from 1 is wanted");
    if (examples)
        c->examples = value;
    else
        c->steps = value;
    return true;
}

bool recording_read(Arena *arena, const char *path, CaseList *cases) {
    FILE *file = fopen(path, "rb");
    if (!file) {
        fprintf(stderr, "%s: cannot be read\n", path);
        return false;
    }
    char *text = NULL;
    size_t room = 0;
    bool ok = true;
    Reader r = {.arena = arena, .path = path};
    while (ok && getline(&text, &room, file) >= 0) {
        r.line++;
        r.at = text;
        ok = line_read(&r, cases);
    }
    free(text);
    fclose(file);
    if (ok && cases->len == 0) return fault(&r, "there is no case");
    return ok;
}
