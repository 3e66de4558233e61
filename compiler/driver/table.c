/* SPDX-License-Identifier: MIT
 * `gradus doc --table`: the library's list of techniques with where each is defined, tested, shown.
 * Needs front and base; runs in the source tree. Knows no technique: the list is data. */
#include "driver.h"
#include <ctype.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#define LIST "stdlib/techniques.txt"

typedef struct Text { /* a file in which names are looked for, comments left out */
    const char *path, *shown, *text;
} Text;
typedef VEC(Text) TextList;
typedef struct Table {
    Arena *arena;
    const Module *module;
    TextList tests, examples;
    int rows, lacking;
} Table;
typedef VEC(const char *) Words;

/* Comments go, except in C, and several blanks become one: what is only spoken of is neither tested
 * nor shown, and `batch   = all` is `batch = all`. */
static const char *uncommented(Arena *arena, const char *path, const char *text) {
    size_t length = strlen(path);
    if (length > 2 && !strcmp(path + length - 2, ".c")) return text;
    char *copy = arena_copy(arena, text, strlen(text)), *to = copy;
    bool comment = false, quoted = false;
    for (const char *p = copy; *p; p++) {
        if (*p == '\n') comment = quoted = false;
        if (*p == '"') quoted = !quoted;
        if (*p == '#' && !quoted) comment = true;
        bool blank = *p == ' ' && to > copy && to[-1] == ' ';
        if (!comment && !blank) *to++ = *p;
    }
    *to = '\0';
    return copy;
}

/* The files of a pattern; a folder in place of its files where `folders` is said. */
static void texts_add(Table *table, TextList *list, const char *pattern, bool folders) {
    glob_t found;
    if (glob(pattern, 0, NULL, &found) != 0) return;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        const char *path = arena_copy(table->arena, found.gl_pathv[i], strlen(found.gl_pathv[i]));
        size_t length;
        const char *text = file_read(table->arena, path, &length);
        if (!text) continue;
        const char *slash = strrchr(path, '/');
        const char *shown =
            folders && slash ? arena_copy(table->arena, path, (size_t)(slash - path)) : path;
        Text entry = {path, shown, uncommented(table->arena, path, text)};
        VEC_PUSH(table->arena, *list, entry);
    }
    globfree(&found);
}

static bool word_char(char c) {
    return isalnum((unsigned char)c) || c == '_';
}

/* Whether the text holds `word`, not as a part of a longer name. */
static bool text_holds(const char *text, const char *word) {
    size_t length = strlen(word);
    for (const char *p = text; (p = strstr(p, word)) != NULL; p++)
        if ((p == text || !word_char(p[-1]) || !word_char(word[0])) &&
            (!word_char(p[length]) || !word_char(word[length - 1])))
            return true;
    return false;
}

/* The first text that holds the word; those that begin with `prefix` come first. In what is written
 * for readers only options of a command count: a name there may be no more than talk. */
static const char *text_find(const TextList *list, const char *word, const char *prefix) {
    const char *other = NULL;
    for (int i = 0; i < list->len; i++) {
        const Text *t = &list->at[i];
        size_t length = strlen(t->path);
        bool prose = length > 3 && !strcmp(t->path + length - 3, ".md");
        if ((prose && word[0] != '-') || !text_holds(t->text, word)) continue;
        if (!prefix || !strncmp(t->path, prefix, strlen(prefix))) return t->shown;
        if (!other) other = t->shown;
    }
    return other;
}

static const Decl *decl_find(const Module *module, const char *name) {
    for (int i = 0; i < module->decls.len; i++) {
        const Decl *decl = module->decls.at[i];
        if (decl->name && decl->kind == DECL_DEF && !strcmp(decl->name, name)) return decl;
    }
    return NULL;
}

static char *trimmed(char *text) {
    while (*text == ' ' || *text == '\t')
        text++;
    size_t length = strlen(text);
    while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == '\t'))
        text[--length] = '\0';
    return text;
}

static void words_add(Table *table, Words *words, const char *word) {
    for (int i = 0; word && i < words->len; i++)
        if (!strcmp(words->at[i], word)) return;
    if (word) VEC_PUSH(table->arena, *words, word);
}

static void words_print(const Words *words, const char *quote) {
    printf(" |");
    for (int i = 0; i < words->len; i++)
        printf("%s %s%s%s", i ? "," : "", quote, words->at[i], quote);
}

static void lacks(Table *table, const char *technique, const char *word, const char *what) {
    fprintf(stderr, LIST ": %s: `%s` has no %s\n", technique, word, what);
    table->lacking++;
}

/* The file that tests a name. A def's doc comment has an example, too: `gradus test` compares that
 * one, and tests/equal/defs.txt others, with the interpreter. */
static const char *test_find(Table *table, const char *word, const Decl *decl) {
    bool example = !decl || (decl->doc && strstr(decl->doc, "Example: "));
    return example ? text_find(&table->tests, word, NULL) : NULL;
}

/* One row: `section | technique | names`. The names are defs; between back quotes, a text of the
 * language. */
static void row_print(Table *table, char *field[3]) {
    char *technique = field[1], *names = field[2];
    Words defs = {0}, tests = {0}, examples = {0};
    const char *prefix = arena_printf(table->arena, "examples/lecture/%02d-", atoi(field[0]));
    table->rows++;
    for (char *p = names; *p;) {
        bool quoted = *p == '`';
        size_t length = strcspn(p + quoted, quoted ? "`" : " ");
        const char *word = arena_copy(table->arena, p + quoted, length);
        p += quoted + length + (quoted && p[quoted + length] == '`');
        p += strspn(p, " ");
        const Decl *decl = quoted ? NULL : decl_find(table->module, word);
        if (!quoted && !decl) lacks(table, technique, word, "def");
        words_add(table, &defs, word);
        const char *test = test_find(table, word, decl);
        if (!test) lacks(table, technique, word, "test");
        words_add(table, &tests, test);
        const char *example = text_find(&table->examples, word, prefix);
        if (!example) lacks(table, technique, word, "example");
        words_add(table, &examples, example);
    }
    if (!*names) lacks(table, technique, "", "name");
    printf("| %s | %s", field[0], technique);
    words_print(&defs, "`");
    words_print(&tests, "");
    words_print(&examples, "");
    printf(" |\n");
}

static void rows_print(Table *table, const char *text) {
    for (const char *p = text; *p;) {
        size_t length = strcspn(p, "\n");
        char *line = trimmed(arena_copy(table->arena, p, length));
        p += length + (p[length] == '\n');
        if (!*line || *line == '#') continue;
        char *field[3] = {line, "", ""};
        for (int i = 1; i < 3; i++) {
            char *bar = strchr(field[i - 1], '|');
            if (!bar) break;
            *bar = '\0';
            field[i] = trimmed(bar + 1);
        }
        for (int i = 0; i < 3; i++)
            if (*field[i]) field[i] = trimmed(field[i]);
        row_print(table, field);
    }
}

int techniques_print(Arena *arena, const Module *module) {
    size_t length;
    const char *list = file_read(arena, LIST, &length);
    if (!list) return EXIT_DIAGNOSED;
    Table table = {.arena = arena, .module = module};
    static const char *const tests[] = {"tests/equal/defs.txt", "tests/parity/*.txt",
                                        "tests/bits/*.gr",      "tests/unit/*.c",
                                        "tests/*.sh",           "tests/errors/*.gr",
                                        "tests/errors/data/*/expect"};
    for (int i = 0; i < LENGTH(tests); i++)
        texts_add(&table, &table.tests, tests[i], false);
    texts_add(&table, &table.examples, "examples/lecture/*/*.gr", true);
    texts_add(&table, &table.examples, "examples/lecture/*/*.md", true);
    texts_add(&table, &table.examples, "examples/*/*.gr", true);
    printf("<!-- Written by `gradus doc --table` from " LIST "; not by hand. -->\n");
    printf("# Techniques\n\n");
    printf("| section | technique | in the language | test | example |\n|---|---|---|---|---|\n");
    rows_print(&table, list);
    printf("\n%d techniques.\n", table.rows);
    return table.lacking ? EXIT_MISMATCH : EXIT_OK;
}
