/* SPDX-License-Identifier: MIT
 * The ground floor: arenas, vectors, names, maps, places in texts, diagnostics.
 * Needs base and Criterion. */
#include "base.h"
#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

static Arena *arena;
static void begin(void) {
    arena = arena_new();
}
static void end(void) {
    arena_free(arena);
}
TestSuite(base, .init = begin, .fini = end);

/* --- arenas and vectors */

Test(base, memory_is_zeroed_aligned_and_apart) {
    char *last = NULL;
    for (size_t size = 0; size < 5000; size += 7) {
        char *memory = arena_alloc(arena, size);
        cr_assert_eq((uintptr_t)memory % 16, 0u);
        cr_assert_neq(memory, last);
        for (size_t i = 0; i < size; i++)
            cr_assert_eq(memory[i], 0);
        memset(memory, 0xff, size);
        last = memory;
    }
}

Test(base, large_blocks_do_not_disturb_small_ones) {
    int *small = NEW(arena, int);
    *small = 42;
    char *large = arena_alloc(arena, 20u << 20);
    memset(large, 1, 20u << 20);
    int *next = NEW(arena, int);
    *next = 43;
    cr_assert_eq(*small, 42);
    cr_assert_eq(large[0] + large[(20u << 20) - 1], 2);
    cr_assert_eq(*next, 43);
}

Test(base, arena_text) {
    cr_assert_str_eq(arena_copy(arena, "gradus", 4), "grad");
    cr_assert_str_eq(arena_copy(arena, "", 0), "");
    cr_assert_str_eq(arena_printf(arena, "%s[%d]", "conv", 12), "conv[12]");
}

Test(base, vectors_grow_and_keep_order) {
    VEC(int) v = {0};
    for (int i = 0; i < 1000; i++)
        VEC_PUSH(arena, v, i * i);
    cr_assert_eq(v.len, 1000);
    cr_assert_geq(v.cap, 1000);
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(v.at[i], i * i);
}

/* --- names */

Test(base, equal_names_are_one_pointer) {
    Name first = name_of("batch");
    for (int i = 0; i < 2000; i++)
        name_printf("unit%d", i);
    cr_assert_eq(name_of("batch"), first);
    cr_assert_eq(name_intern("batches", 5), first);
    cr_assert_eq(name_printf("%s%c", "batc", 'h'), first);
    cr_assert_neq(name_of("batches"), first);
    cr_assert_eq(name_of("unit1999"), name_printf("unit%d", 1999));
    cr_assert_str_eq(name_of("unit7"), "unit7");
    cr_assert_str_eq(name_of(""), "");
}

Test(base, nearest_name) {
    Name words[] = {name_of("epochs"), name_of("steps"), name_of("step"), name_of("optimizer")};
    cr_assert_eq(name_nearest(name_of("optmizer"), words, 4), words[3]);
    cr_assert_eq(name_nearest(name_of("epcohs"), words, 4), words[0], "letters that changed place");
    cr_assert_eq(name_nearest(name_of("stepp"), words, 4), words[1], "the first of equals");
    cr_assert_null(name_nearest(name_of("momentum"), words, 4));
    cr_assert_null(name_nearest(name_of("x"), words, 4));
    Name short_words[] = {name_of("y")};
    cr_assert_null(name_nearest(name_of("x"), short_words, 1), "another word, not a slip");
    cr_assert_null(name_nearest(name_of("x"), short_words, 0));
}

/* --- maps */

Test(base, maps_find_what_was_put) {
    Map map;
    map_init(&map, arena);
    cr_assert_null(map_get(&map, name_of("a")));
    cr_assert_not(map_has(&map, name_of("a")));
    int values[500];
    for (int i = 0; i < 500; i++)
        map_put(&map, name_printf("k%d", i), &values[i]);
    for (int i = 0; i < 500; i++) {
        cr_assert_eq(map_get(&map, name_printf("k%d", i)), &values[i]);
        cr_assert_eq(map.slots.at[i].key, name_printf("k%d", i), "in order of insertion");
    }
    cr_assert_not(map_has(&map, name_of("k500")));
}

Test(base, maps_replace_and_hold_null) {
    Map map;
    map_init(&map, arena);
    int one, two;
    map_put(&map, &one, &one);
    map_put(&map, &two, NULL);
    map_put(&map, &one, &two);
    cr_assert_eq(map.slots.len, 2);
    cr_assert_eq(map_get(&map, &one), &two);
    cr_assert(map_has(&map, &two));
    cr_assert_null(map_get(&map, &two));
    cr_assert_eq(map.slots.at[0].key, &one, "a key keeps its place");
}

/* --- places */

Test(base, positions_in_a_text) {
    const char *text = "ab\n\ncde";
    uint32_t file = source_add("t.gr", text, strlen(text), false);
    static const int expected[][3] = {{0, 1, 1}, {2, 1, 3}, {3, 2, 1},
                                      {4, 3, 1}, {7, 3, 4}, {99, 3, 4}};
    for (int i = 0; i < LENGTH(expected); i++) {
        int line, column;
        uint32_t at = (uint32_t)expected[i][0];
        source_position((Span){file, at, at}, &line, &column);
        cr_assert_eq(line, expected[i][1], "line of %u", at);
        cr_assert_eq(column, expected[i][2], "column of %u", at);
    }
    cr_assert_null(source_get(0));
    cr_assert_null(source_get(file + 1));
    cr_assert_str_eq(source_get(file)->path, "t.gr");
}

Test(base, spans_join) {
    Span joined = span_join((Span){1, 5, 8}, (Span){1, 2, 6});
    cr_assert(joined.file == 1 && joined.from == 2 && joined.to == 8);
    joined = span_join((Span){0}, (Span){2, 3, 4});
    cr_assert(joined.file == 2 && joined.from == 3 && joined.to == 4);
    joined = span_join((Span){1, 3, 4}, (Span){2, 0, 9});
    cr_assert(joined.file == 1 && joined.from == 3 && joined.to == 4);
}

/* --- diagnostics */

/* What is said on stderr between say_begin and say_end. */
static FILE *said;
static int stderr_copy;
static void say_begin(void) {
    diag_reset();
    said = tmpfile();
    stderr_copy = dup(2);
    dup2(fileno(said), 2);
}
static const char *say_end(void) {
    diag_flush();
    dup2(stderr_copy, 2);
    close(stderr_copy);
    static char text[65536];
    rewind(said);
    size_t length = fread(text, 1, sizeof text - 1, said);
    text[length] = 0;
    fclose(said);
    return text;
}

static uint32_t sample(void) {
    const char *text = "def f(x) =\n\ty + x\n";
    return source_add("f.gr", text, strlen(text), false);
}

Test(base, a_diagnostic_with_place_caret_note_and_help) {
    uint32_t file = sample();
    say_begin();
    diag_error((Span){file, 12, 17}, "E0201", "unknown name `%s`", "y");
    diag_note((Span){file, 6, 7}, "declared here");
    diag_note((Span){0}, "no place");
    diag_help("did you mean `x`?");
    const char *expected = "f.gr:2:2: error: unknown name `y` [E0201]\n"
                           "    2 | \ty + x\n"
                           "      | \t^~~~~\n"
                           "f.gr:1:7: note: declared here\n"
                           "    1 | def f(x) =\n"
                           "      |       ^\n"
                           "  note: no place\n"
                           "  help: did you mean `x`?\n";
    cr_assert_str_eq(say_end(), expected);
    cr_assert_eq(diag_errors(), 1);
}

Test(base, a_range_over_lines_ends_with_its_first_line) {
    uint32_t file = sample();
    say_begin();
    diag_error((Span){file, 4, 17}, "E0101", "long");
    const char *text = say_end();
    cr_assert(strstr(text, "\n      |     ^~~~~~\n"), "%s", text);
}

Test(base, diagnostics_as_json) {
    uint32_t file = sample();
    say_begin();
    diag_format(DIAG_JSON);
    diag_warning((Span){file, 4, 5}, "W0101", "a \"quoted\"\n\\ text");
    diag_help("help");
    const char *expected =
        "{\"severity\":\"warning\",\"code\":\"W0101\",\"message\":\"a \\\"quoted\\\"\\u000a\\\\ "
        "text\","
        "\"file\":\"f.gr\",\"line\":1,\"column\":5,\"endLine\":1,\"endColumn\":6,"
        "\"related\":[{\"severity\":\"help\",\"message\":\"help\"}]}\n";
    cr_assert_str_eq(say_end(), expected);
    cr_assert_eq(diag_errors(), 0);
}

Test(base, the_same_fault_is_told_once) {
    uint32_t file = sample();
    say_begin();
    diag_error((Span){file, 4, 5}, "E0201", "same");
    diag_error((Span){file, 4, 5}, "E0201", "same");
    diag_note((Span){0}, "of the second");
    diag_error((Span){file, 4, 5}, "E0201", "other");
    const char *text = say_end();
    cr_assert_eq(diag_errors(), 2);
    cr_assert_null(strstr(text, "of the second"));
    cr_assert(strstr(text, "other"));
}

Test(base, at_most_twenty_errors_are_printed) {
    say_begin();
    for (int i = 0; i < 23; i++) {
        diag_error((Span){0}, "E0101", "fault %d.", i);
        diag_note((Span){0}, "note %d.", i);
    }
    const char *text = say_end();
    cr_assert(strstr(text, "gradus: error: fault 19. [E0101]\n  note: note 19.\n"));
    cr_assert_null(strstr(text, "fault 20."));
    cr_assert_null(strstr(text, "note 20."));
    cr_assert(strstr(text, "3 more errors not shown"));
    cr_assert_eq(diag_errors(), 23);
}

Test(base, no_colour_but_on_a_terminal) {
    say_begin();
    diag_error((Span){0}, "E0101", "plain");
    cr_assert_null(strchr(say_end(), '\33'));
}

Test(base, codes_are_explained) {
    cr_assert(strstr(diag_explain("E0201"), "E0201: unknown name\n"));
    cr_assert_null(diag_explain("E9999"));
    cr_assert_null(diag_explain(""));
}
