/* SPDX-License-Identifier: MIT
 * Tokens, grammar, recovery, modules and names: small texts against the printed tree or against
 * the places and codes of their errors. Needs base, front (its tree.h too), the rows of
 * ir/ops.def and Criterion. */
#include "tree.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static Arena *arena;
static void begin(void) {
    arena = arena_new();
    diag_reset();
}
static const char *folder; /* of the test's own files, or NULL */
static void end(void) {
    if (folder) cr_assert_eq(system(arena_printf(arena, "rm -rf '%s'", folder)), 0);
    arena_free(arena);
}
TestSuite(front, .init = begin, .fini = end);

static const char *printed(const Module *module) {
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    ast_print(out, module);
    fclose(out);
    const char *copy = arena_copy(arena, text, length);
    free(text);
    return copy;
}

/* The tree of a text, names unchecked. */
static const char *tree(const char *text) {
    Module module = {.arena = arena, .file = source_add("t.gr", text, strlen(text), false)};
    parse_text(arena, module.file, &module.decls);
    return printed(&module);
}

/* The tree of an expression. */
static const char *expr(const char *text) {
    const char *all = tree(arena_printf(arena, "def f() = %s\n", text));
    const char *start = strstr(all, "value ");
    cr_assert_not_null(start, "no value: %s", text);
    return arena_copy(arena, start + 6, strcspn(start + 6, "\n"));
}

/* The tree of a def's body. */
static const char *body(const char *text) {
    const char *all = tree(arena_printf(arena, "def f() {\n%s\n}\n", text));
    return strchr(all, '\n') + 1;
}

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
    char *text = arena_alloc(arena, 1 << 18);
    rewind(said);
    size_t length = fread(text, 1, (1 << 18) - 1, said);
    text[length] = 0;
    fclose(said);
    return text;
}

/* "line:column code" of every error and warning in t.gr, a space between. */
static const char *digest(const char *text) {
    const char *list = "";
    for (; *text; text += strcspn(text, "\n") + 1) {
        int line, column, length = (int)strcspn(text, "\n");
        const char *what = arena_copy(arena, text, (size_t)length);
        if (sscanf(what, "t.gr:%d:%d:", &line, &column) != 2 || strstr(what, ": note: ")) continue;
        const char *code = strrchr(what, '[');
        if (!code || what[length - 1] != ']') continue;
        list =
            arena_printf(arena, "%s%s%d:%d %.5s", list, *list ? " " : "", line, column, code + 1);
        if (!text[length]) break;
    }
    return list;
}

/* What is said of the syntax of a text, and of its names where the syntax is right. */
static const char *said_of(const char *text) {
    say_begin();
    module_load_text(arena, "t.gr", text);
    return say_end();
}
static const char *errors(const char *text) {
    return digest(said_of(text));
}

#define EXPR(text, expected) cr_assert_str_eq(expr(text), expected)
#define BODY(text, expected) cr_assert_str_eq(body(text), expected)
#define ERRORS(text, expected) cr_assert_str_eq(errors(text), expected)

/* --- expressions */

Test(front, precedence) {
    EXPR("a + b * c ^ d", "(+ a (* b (^ c d)))");
    EXPR("a - b - c", "(- (- a b) c)");
    EXPR("a / b * c % d", "(% (* (/ a b) c) d)");
    EXPR("a ^ b ^ c", "(^ a (^ b c))");
    EXPR("-a ^ 2", "(- (^ a 2))");
    EXPR("-a * b", "(* (- a) b)");
    EXPR("2 ^ -a * b", "(* (^ 2 (- a)) b)");
    EXPR("a + 1 < b * 2", "(< (+ a 1) (* b 2))");
    EXPR("not a == b and c or d", "(or (and (not (== a b)) c) d)");
    EXPR("a and b or c and d", "(or (and a b) (and c d))");
    EXPR("(a + b) * c", "(* (+ a b) c)");
}

Test(front, reductions_bind_between_product_and_sum) {
    EXPR("sum[k] a[k] * b[k] + c", "(+ (sum [k] (* (read a k) (read b k))) c)");
    EXPR("c - max[k: 3, d...] a[k] / 2 - d", "(- (- c (max [k:3 d...] (/ (read a k) 2))) d)");
    EXPR("2 * sum[k] a[k] * 3", "(* 2 (sum [k] (* (read a k) 3)))");
    EXPR("sum[i] sum[j] a[i, j] + 1", "(+ (sum [i] (sum [j] (read a i j))) 1)");
    EXPR("mean[k] if a then b else c + 1", "(mean [k] (if a b (+ c 1)))");
    EXPR("mean[k] a[k] < 1", "(< (mean [k] (read a k)) 1)");
    EXPR("count[batch, s...] - 1", "(- (count [batch s...]) 1)");
    EXPR("argmax[c] -y[c]", "(argmax [c] (- (read y c)))");
}

Test(front, if_reaches_to_its_end_and_the_chain_binds_weakest) {
    EXPR("a * if b then c else d + 1", "(* a (if b c (+ d 1)))");
    EXPR("if a then b else c -> f -> g", "(if a b (-> (-> c f) g))");
    EXPR("if a then b -> f else c", "(if a (-> b f) c)");
    EXPR("a + b -> f(1) -> g", "(-> (-> (+ a b) (call f 1)) g)");
    EXPR("if a then if b then c else d else e", "(if a (if b c d) e)");
    EXPR("order by uniform(0, 1) + 1", "(order-by (+ (call uniform 0 1) 1))");
}

Test(front, postfix_forms) {
    EXPR("x[i - 1, j; 0]", "(read x (- i 1) j ; 0)");
    EXPR("f(1, b = 2)(3).c.d[e...]", "(read (call (call f 1 b=2) 3).c.d e...)");
    EXPR("s'[k] + s'", "(+ (read s' k) s')");
    EXPR("(a, b + 1)", "(tuple a (+ b 1))");
    EXPR("[1, [2, 3], []]", "(list 1 (list 2 3) (list))");
    EXPR("trunk.*", "trunk.*");
}

Test(front, numbers_and_strings) {
    EXPR("1e-8", "1e-08");
    EXPR("[3, 3.0, 1e3, 0.1, 2.5E+2]", "(list 3 3.0 1000.0 0.1 250.0)");
    EXPR("\"a\\\"b\\\\ # not a comment\"", "\"a\\\"b\\\\ # not a comment\"");
}

/* --- lines */

Test(front, lines_end_statements) {
    BODY("a = 1\nb = 2; c = 3;\n\n;d", "  a = 1\n  b = 2\n  c = 3\n  value d\n");
    BODY("f\n(x)", "  value f\n  value x\n");
    BODY("# only a comment", "");
}

Test(front, lines_that_go_on) {
    BODY("a =\n  1 +\n  2 # comment\n  -> f\n\n  -> g\n  where c = 1,\n    d = 2",
         "  a = (-> (-> (+ 1 2) f) g)\n      where c = 1\n      where d = 2\n");
    BODY("if a\n  then b\n  else c", "  value (if a b c)\n");
    BODY("a\n  and b\n  or not\n c", "  value (or (and a b) (not c))\n");
    BODY("f(1\n,\n2\n)[i\n; 0\n]", "  value (read (call f 1 2) i ; 0)\n");
    BODY("sum[k]\n  a[k]", "  value (sum [k] (read a k))\n");
    BODY("count[k]\n a", "  value (count [k])\n  value a\n");
}

Test(front, a_statement_does_not_begin_with_an_operator) {
    ERRORS("def f(x) {\n  x\n  - 1\n}\n", "3:3 E0101");
    ERRORS("def f(x) {\n  x\n  * 1\n}\n", "3:3 E0101");
    ERRORS("def f(x) = -x\n", "");
}

/* --- words */

Test(front, words_of_the_language_may_be_names) {
    BODY(
        "state = at + param\nparam[i: 3] = sample\non = when\nstop = order -> repeat",
        "  state = (+ at param)\n  param[i:3] = sample\n  on = when\n  stop = (-> order repeat)\n");
    BODY("after(training)\nevaluate\nshared -> predict",
         "  value (call after training)\n  value evaluate\n  value (-> shared predict)\n");
    BODY("max = min + sum(a)", "  max = (+ min (call sum a))\n");
    EXPR("f(train = 1, test = data, stop = on).class.if.sum",
         "(call f train=1 test=data stop=on).class.if.sum");
}

Test(front, words_where_they_are_keywords) {
    BODY("param w[n] = 1\nstate s = 0\nshared m = b\npredict p[c] = y\nderivative x = 1\nat w\n"
         "evaluate at w\nstop when s' > 1\nafter training { s' = 1 }\nrepeat (3) { h = h "
         "}\nrepeat(3)",
         "  param w[n] = 1\n  state s = 0\n  shared m = b\n  predict p[c] = y\n"
         "  derivative x = 1\n  at w\n  evaluate-at w\n  stop-when (> s' 1)\n"
         "  after-training\n    s' = 1\n  repeat 3\n    h = h\n  value (call repeat 3)\n");
}

Test(front, declarations) {
    cr_assert_str_eq(
        tree("use \"a.gr\"\n"
             "model m(x[n, 3], t: class = 1, u[n]: class[n]) -> k: class[10], v[2], w { x }\n"
             "data d { train = csv(\"a\") when a.b > 1 and c\n test = train }\n"
             "train pre of m on d { a = f(1) on W, g on t.*.b, h on *.b; b = (x, y) where z = 1 }\n"
             "train m { }\n"
             "test \"t\" { check gradients; check gradients of f(1)\n expect a < 1\n"
             "  expect curve \"c\"; expect equal over batch\n train 30 steps; train n + 1 epochs "
             "}\n"),
        "use \"a.gr\"\n"
        "model m\n  arg x[n 3]\n  arg t class = 1\n  arg u[n] class[n]\n"
        "  out k class[10]\n  out v[2]\n  out w\n  value x\n"
        "data d\n  train = (when (call csv \"a\") (and (> a.b 1) c))\n  test = train\n"
        "train pre of m on d\n  a = (tuple (on (call f 1) W) (on g t.*.b) (on h *.b))\n"
        "  b = (tuple x y)\n      where z = 1\n"
        "train of m\n"
        "test \"t\"\n  check gradients\n  check gradients of (call f 1)\n  expect (< a 1)\n"
        "  expect curve \"c\"\n  expect equal over batch\n  train 30 steps\n"
        "  train (+ n 1) epochs\n");
}

Test(front, tuples_are_bound) {
    BODY("(value, v[i]) = eigh(cov)\n(value)\n(a + b) -> f",
         "  (value v[i]) = (call eigh cov)\n  value value\n  value (-> (+ a b) f)\n");
}

Test(front, doc_comments_go_to_the_next_declaration) {
    const char *text = "## Of the file.\n\n## First line. \t\r\n##   Second.\n# plain\ndef f() = "
                       "1\n\ndef g() = 2 ## no\n"
                       "def h() = 3\n";
    cr_assert_str_eq(tree(text), "def f\n  doc First line.\n  doc   Second.\n  value 1\n"
                                 "def g\n  value 2\ndef h\n  value 3\n");
}

Test(front, places_are_byte_ranges) {
    const char *text = "def f(x) = x +\n  g(x, 2)\n";
    Module module = {.arena = arena, .file = source_add("t.gr", text, strlen(text), false)};
    parse_text(arena, module.file, &module.decls);
    const Expr *sum = module.decls.at[0]->body.at[0]->value;
    cr_assert(sum->at.from == 11 && sum->at.to == 24);
    cr_assert(sum->b->at.from == 17 && sum->b->at.to == 24);
    cr_assert(sum->b->args.at[1].at.from == 22 && sum->b->args.at[1].at.to == 23);
    cr_assert(module.decls.at[0]->at.from == 4 && module.decls.at[0]->at.to == 5);
}

/* --- syntax errors */

Test(front, several_syntax_errors_in_one_run) {
    ERRORS("def a(x) = 2 *\n"
           "def b(x) {\n"
           "  p = x x\n"
           "  q = * x\n"
           "  r = x\n"
           "  2 * s = x\n"
           "}\n"
           "foo = 3\n"
           "def c(x) = if 0 < x < 1 then 1 else 0\n"
           "def d(x = x\n",
           "10:6 E0105 1:15 E0101 3:9 E0101 4:7 E0101 6:9 E0107 8:1 E0101 9:21 E0106");
}

Test(front, what_was_expected) {
    cr_assert(strstr(said_of("def f(x) = (x +)\n"), "expected an expression, found `)`"));
    cr_assert(strstr(said_of("def f(x\n\ndef g(x) = 1\n"), "`(` is not closed"));
    cr_assert(strstr(said_of("def f(x)\ndef g(x) = 1\n"),
                     "expected `=` or `{`, found the end of the line"));
    cr_assert(strstr(said_of("def f(x) = x[1; 2; 3]\n"), "expected `]`, found `;`"));
}

Test(front, unreadable_characters_numbers_and_strings) {
    ERRORS("def f(x) {\n a = x $ 2\n b = 3x\n c = .5\n d = 1..2\n e = \"abc\n f = \"\\q\"\n}\n",
           "2:8 E0102 3:6 E0104 4:6 E0104 5:6 E0104 6:6 E0103 7:7 E0103");
    ERRORS("def f(x) = 9007199254740993\ndef g(x) = 1e999\n", "1:12 E0104 2:12 E0104");
}

Test(front, brackets_have_partners) {
    ERRORS("def f(x) {\n  y = (x + 1\n  z = 2\n}\ndef g(x) = 1 *\n", "2:7 E0105 5:15 E0101");
    ERRORS("def f(x) = x)\n", "1:13 E0105");
    ERRORS("def f(x) {\n  x\n\ndef g(x) = 1\n", "1:10 E0105");
}

Test(front, blocks_in_faulty_statements_are_skipped) {
    ERRORS("def f(x) {\n  foo 3 {\n    a = )\n    bar baz\n  }\n  y = x x\n}\n",
           "3:9 E0105 2:7 E0101 6:9 E0101");
}

Test(front, deep_nesting_is_refused) {
    char *text = arena_alloc(arena, 200000);
    strcpy(text, "def f(x) = ");
    for (size_t i = 0; i < 30000; i++)
        text[11 + i] = '(';
    cr_assert(strstr(errors(text), "E0109"));
    strcpy(text, "def f(x) = x");
    for (int i = 0; i < 30000; i++)
        memcpy(text + 12 + 2 * i, "+x", 2);
    ERRORS(text, "1:5 E0109");
}

/* --- names */

Test(front, unknown_names_and_what_was_meant) {
    const char *text = said_of("def alpha(x) = x\ndef f(value) = alhpa(valeu) + unknowable\n");
    cr_assert_str_eq(digest(text), "2:16 E0201 2:22 E0201 2:31 E0201");
    cr_assert(strstr(text, "did you mean `alpha`?"));
    cr_assert(strstr(text, "did you mean `value`?"));
}

Test(front, names_that_are_known) {
    ERRORS("def f(x[c, s...], units, p = units) {\n"
           "  param W[units, c, s...] = uniform(-a, b) where a = 1, b = a\n"
           "  state m[c] = 0\n"
           "  m' = m + epoch + step + m'\n"
           "  y[u, i: c] = sum[batch, k: 3] W[u, i, s...] * k + a where a = u + pi\n"
           "  y -> f(3) -> f(3, p = infinity)\n"
           "}\n",
           "");
}

Test(front, indices_outside_what_binds_them) {
    ERRORS("def f(a[n]) = sum[k: n] a[k] + a[k]\n", "1:34 E0203");
    ERRORS("def f(a[n]) {\n  y[i: n] = a[i]\n  y[i]\n}\n", "3:5 E0203");
}

Test(front, an_index_has_a_name_of_its_own) {
    ERRORS("def f(x[n], p) {\n  z = x\n  y[p] = x[p]\n  sum[z] x[z]\n}\n", "3:5 E0204 4:7 E0204");
    ERRORS("def f(x[n]) = sum[n] x[n]\n", "");
    ERRORS("def f(weights, x[n]) = sum[weights] weights^2\n", "");
}

Test(front, things_declared_twice) {
    ERRORS("def f(x, y, x) = x\ndef f(x) = 2\nmodel m(x) { x }\ndata d { }\ndata d { }\n",
           "2:5 E0202 5:6 E0202 1:13 E0202");
    ERRORS("def f(x) {\n  a = 1\n  a = 2\n  x = 3\n  repeat 2 { a = a }\n}\n",
           "3:3 E0207 4:3 E0207");
    ERRORS("def f(w) {\n  state s = 1\n  s' = 2\n  s' = 3\n  w\n}\n", "4:3 E0207");
}

Test(front, words_that_cannot_be_declared) {
    ERRORS("def exp(x) = x\ndef f(pi) {\n training = 1\n}\n", "1:5 E0210 2:7 E0210 3:2 E0210");
}

Test(front, states_and_values) {
    ERRORS("def f(x) {\n state s = 0\n}\n", "1:5 E0208");
    ERRORS("def f(w, g) {\n state s = 0\n w' = w - s\n}\n", "");
    ERRORS("def f(w) {\n state value = 0\n valeu' = 1\n w' = 3\n}\n", "3:2 E0209");
    ERRORS("def f(w) {\n a = 0\n a' = 1\n}\n", "3:2 E0209");
    ERRORS("def f(w) = w'\n", "");
    ERRORS("def f(w) = v'\n", "1:12 E0201");
}

Test(front, arguments_of_calls) {
    const char *text = said_of("def f(x, scale = 1) = x\n"
                               "def g(x, h) = f(x, sclae = 2) + f(1, 2, 3) + f(scale = 1, 2) +\n"
                               "  f(scale = 1, scale = 2) + h(any = 1)\n");
    cr_assert_str_eq(digest(text), "2:20 E0401 2:33 E0402 2:59 E0404 3:16 E0403");
    cr_assert(strstr(text, "did you mean `scale`?"));
}

Test(front, keys_of_train_and_data) {
    const char *all =
        "def f(x) = x\nmodel m(x[3]) -> y[3] { h = x; h -> f }\n"
        "data d { trian = csv(\"a\"); test = csv(\"b\") when example.number > f; test = 3 }\n";
    ERRORS(all, "3:10 E0501 3:69 E0502");
    const char *text =
        said_of("def f(x) = x\nmodel m(x[3]) -> y[3] { h = x; h -> f }\n"
                "train m { optmizer = f(y.target) + h + x on h.*.b; loss = f + validation.f - zzz\n"
                "  freeze = conv1.W; batch = batch }\n"
                "train n { loss = unknown }\n"
                "train m on e { batch = 1 }\n");
    cr_assert_str_eq(digest(text), "3:11 E0501 3:78 E0201 5:7 E0504 6:7 E0504 6:7 E0503");
    cr_assert(strstr(text, "did you mean `optimizer`?"));
}

Test(front, what_stands_in_the_wrong_block) {
    ERRORS("def f(x) = x on W\ndef g(x) = x when x > 1\n", "1:12 E0111 2:12 E0111");
}

Test(front, names_are_not_checked_after_syntax_errors) {
    ERRORS("def f(x) = x +\nmodel m(x[3]) { x -> nothing }\n", "1:15 E0101");
}

Test(front, every_scalar_function_is_known) {
    static const struct {
        const char *text;
        int arity;
    } rows[] = {
#define OP(id, text, arity, ...) {text, arity},
#include "ops.def"
#undef OP
    };
    int functions = 0;
    for (int i = 0; i < LENGTH(rows); i++) {
        const char *text = rows[i].text;
        bool more = !strcmp(text, "min") || !strcmp(text, "max") || !strcmp(text, "pow");
        bool known = rows[i].arity == 1 || more;
        cr_assert_eq(builtin_is_fixed(name_of(text)), known, "%s: known or not?", text);
        functions += known;
    }
    cr_assert_gt(functions, 10);
}

/* --- modules */

static void write_file(const char *path, const char *text) {
    FILE *out = fopen(path, "w");
    cr_assert_not_null(out);
    fputs(text, out);
    fclose(out);
}

/* A folder of its own; the working directory of the test's process. */
static void enter_folder(void) {
    char path[] = P_tmpdir "/gradus-front-XXXXXX";
    cr_assert_not_null(mkdtemp(path));
    folder = arena_copy(arena, path, strlen(path));
    cr_assert_eq(chdir(folder), 0);
}

Test(front, use_brings_defs_and_models) {
    enter_folder();
    write_file("a.gr", "use \"b.gr\"\ndef a(x) = b(x)\ndata hidden { }\ntrain n { loss = a }\n"
                       "model n(x[2]) { x -> a }\ntest \"t\" { check gradients }\n");
    write_file("b.gr", "def b(x) = x\n");
    write_file(
        "t.gr",
        "use \"a.gr\"\nuse \"b.gr\"\nmodel m(x[2]) { x -> a -> b -> n }\ntrain m { loss = a }\n");
    say_begin();
    Module *module = module_load(arena, "t.gr");
    cr_assert_str_eq(digest(say_end()), "");
    cr_assert_not_null(map_get(&module->defs, name_of("b")));
    cr_assert_not_null(map_get(&module->models, name_of("n")));
    cr_assert_null(map_get(&module->datas, name_of("hidden")));
    cr_assert_eq(module->trains.len, 1);
    cr_assert_eq(module->tests.len, 0);
    cr_assert_str_eq(printed(module), "use \"a.gr\"\nuse \"b.gr\"\nmodel m\n  arg x[2]\n"
                                      "  value (-> (-> (-> x a) b) n)\ntrain of m\n  loss = a\n");
}

Test(front, used_files_are_beside_the_user) {
    enter_folder();
    cr_assert_eq(system("mkdir sub"), 0);
    write_file("sub/a.gr", "use \"b.gr\"\ndef a(x) = b(x)\n");
    write_file("sub/b.gr", "def b(x) = x\n");
    write_file("t.gr", "use \"sub/a.gr\"\ndef f(x) = a(x)\n");
    say_begin();
    module_load(arena, "t.gr");
    cr_assert_str_eq(digest(say_end()), "");
}

Test(front, missing_files_and_circles) {
    enter_folder();
    write_file("t.gr", "use \"a.gr\"\nuse \"missing.gr\"\n");
    write_file("a.gr", "use \"t.gr\"\n");
    say_begin();
    cr_assert_not_null(module_load(arena, "t.gr"));
    const char *text = say_end();
    cr_assert_str_eq(digest(text), "2:5 E0205");
    cr_assert(strstr(text, "a.gr:1:5: error:") && strstr(text, "[E0206]"));
    say_begin();
    cr_assert_null(module_load(arena, "missing.gr"));
    cr_assert(strstr(say_end(), "gradus: error: cannot read `missing.gr`"));
}

Test(front, a_used_name_is_shadowed_with_a_warning) {
    enter_folder();
    write_file("a.gr", "def twice(x) = 2 * x\n");
    write_file("t.gr", "use \"a.gr\"\ndef twice(x) = x + x\n");
    say_begin();
    Module *module = module_load(arena, "t.gr");
    cr_assert_str_eq(digest(say_end()), "2:5 W0101");
    const Decl *found = map_get(&module->defs, name_of("twice"));
    cr_assert_eq(found->at.file, module->file);
}

Test(front, the_library_has_no_faults) {
    const char *text = said_of("def f(x) = x\n");
    cr_assert_null(strstr(text, "stdlib/"), "%s", text);
}
