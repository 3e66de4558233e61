/* SPDX-License-Identifier: MIT
 * The tree as text: an indented line per declaration and statement, expressions as s-expressions.
 * Needs the tree. The form is stable: golden tests compare it.
 * Does not print places, and prints no library. */
#include "tree.h"
#include <math.h>

static void print_expr(FILE *out, const Expr *expr);

static void print_string(FILE *out, const char *text) {
    fputc('"', out);
    for (; *text; text++) {
        if (*text == '\n')
            fputs("\\n", out);
        else if (*text == '\t')
            fputs("\\t", out);
        else if (*text == '"' || *text == '\\')
            fprintf(out, "\\%c", *text);
        else
            fputc(*text, out);
    }
    fputc('"', out);
}

/* The shortest decimal form that reads back as the same number. */
static void print_number(FILE *out, double number, bool integer) {
    if (integer) {
        fprintf(out, "%.0f", number);
        return;
    }
    char text[40];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, number);
        double again;
        if (sscanf(text, "%lf", &again) == 1 && !(again < number) && !(again > number)) break;
    }
    bool whole = number < 1e15 && floor(number) >= number;
    if (whole)
        fprintf(out, "%.1f", number);
    else
        fputs(text, out);
}

static void print_indices(FILE *out, const IndexList *indices) {
    fputc('[', out);
    for (int i = 0; i < indices->len; i++) {
        const Index *index = &indices->at[i];
        if (i) fputc(' ', out);
        if (index->name) fprintf(out, "%s%s", index->name, index->pack ? "..." : "");
        if (index->name && index->extent) fputc(':', out);
        if (index->extent) print_expr(out, index->extent);
    }
    fputc(']', out);
}

static void print_args(FILE *out, const ArgList *args) {
    for (int i = 0; i < args->len; i++) {
        fputc(' ', out);
        if (args->at[i].name) fprintf(out, "%s=", args->at[i].name);
        print_expr(out, args->at[i].value);
    }
}

static const char *const kind_words[] = {
    [EXPR_READ] = "read",         [EXPR_CALL] = "call",   [EXPR_IF] = "if",
    [EXPR_CHAIN] = "->",          [EXPR_TUPLE] = "tuple", [EXPR_LIST] = "list",
    [EXPR_WHEN] = "when",         [EXPR_ON] = "on",       [EXPR_ORDER] = "order-by",
    [EXPR_SAMPLE] = "sample-with"};

static void print_expr(FILE *out, const Expr *expr) {
    switch (expr->kind) {
    case EXPR_NUMBER:
        print_number(out, expr->number, expr->integer);
        return;
    case EXPR_STRING:
        print_string(out, expr->text);
        return;
    case EXPR_NAME:
        fputs(expr->name, out);
        return;
    case EXPR_PRIMED:
        fprintf(out, "%s'", expr->name);
        return;
    case EXPR_PACK:
        fprintf(out, "%s...", expr->name);
        return;
    case EXPR_FIELD:
        print_expr(out, expr->base);
        fprintf(out, ".%s", expr->name);
        return;
    case EXPR_UNARY:
    case EXPR_BINARY:
        fprintf(out, "(%s", expr->name);
        break;
    case EXPR_REDUCE:
        fprintf(out, "(%s ", expr->name);
        print_indices(out, &expr->indices);
        break;
    default:
        fprintf(out, "(%s", kind_words[expr->kind]);
        break;
    }
    const Expr *const parts[] = {expr->base, expr->a, expr->b, expr->c};
    for (int i = 0; i < LENGTH(parts); i++) {
        if (!parts[i]) continue;
        fputc(' ', out);
        print_expr(out, parts[i]);
    }
    print_args(out, &expr->args);
    if (expr->outside) {
        fputs(" ; ", out);
        print_expr(out, expr->outside);
    }
    fputc(')', out);
}

static void print_target(FILE *out, const Target *target) {
    fprintf(out, "%s%s", target->name, target->primed ? "'" : "");
    if (target->indexed) print_indices(out, &target->indices);
}

static const char *const stmt_words[] = {[STMT_PARAM] = "param ",
                                         [STMT_STATE] = "state ",
                                         [STMT_BIND] = "",
                                         [STMT_VALUE] = "value ",
                                         [STMT_PREDICT] = "predict ",
                                         [STMT_AT] = "at ",
                                         [STMT_EVALUATE_AT] = "evaluate-at ",
                                         [STMT_AFTER_TRAINING] = "after-training",
                                         [STMT_STOP_WHEN] = "stop-when ",
                                         [STMT_REQUIRE] = "require ",
                                         [STMT_DERIVATIVE] = "derivative ",
                                         [STMT_REPEAT] = "repeat ",
                                         [STMT_CHECK] = "check gradients",
                                         [STMT_EXPECT] = "expect ",
                                         [STMT_RUN] = "train "};

static void print_body(FILE *out, const StmtList *body, int indent);

static void print_targets(FILE *out, const TargetList *targets) {
    if (targets->len > 1) fputc('(', out);
    for (int i = 0; i < targets->len; i++) {
        if (i) fputc(' ', out);
        print_target(out, &targets->at[i]);
    }
    if (targets->len > 1) fputc(')', out);
    if (targets->len) fputs(" = ", out);
}

static void print_stmt(FILE *out, const Stmt *stmt, int indent) {
    fprintf(out, "%*s%s%s", indent, "", stmt->shared ? "shared " : "", stmt_words[stmt->kind]);
    if (stmt->kind == STMT_EXPECT && stmt->name) fprintf(out, "%s ", stmt->name);
    if (stmt->kind == STMT_CHECK && stmt->value) fputs(" of ", out);
    print_targets(out, &stmt->targets);
    if (stmt->text && stmt->kind != STMT_RUN) print_string(out, stmt->text);
    if (stmt->value) print_expr(out, stmt->value);
    if (stmt->kind == STMT_RUN)
        fprintf(out, " %s%s%s", stmt->name, stmt->text ? " of " : "", stmt->text ? stmt->text : "");
    fputc('\n', out);
    for (int i = 0; i < stmt->where.len; i++) {
        fprintf(out, "%*swhere ", indent + 4, "");
        print_stmt(out, stmt->where.at[i], 0);
    }
    print_body(out, &stmt->body, indent + 2);
}

static void print_body(FILE *out, const StmtList *body, int indent) {
    for (int i = 0; i < body->len; i++)
        print_stmt(out, body->at[i], indent);
}

static void print_params(FILE *out, const char *word, const ParamList *params) {
    for (int i = 0; i < params->len; i++) {
        const Param *param = &params->at[i];
        fprintf(out, "  %s %s", word, param->name);
        if (param->indexed) print_indices(out, &param->indices);
        if (param->is_class) fputs(" class", out);
        if (param->classes) {
            fputc('[', out);
            print_expr(out, param->classes);
            fputc(']', out);
        }
        if (param->value) fputs(" = ", out), print_expr(out, param->value);
        fputc('\n', out);
    }
}

static void print_doc(FILE *out, const char *doc) {
    while (*doc) {
        int length = 0;
        while (doc[length] && doc[length] != '\n')
            length++;
        fprintf(out, "  doc %.*s\n", length, doc);
        doc += length + (doc[length] == '\n');
    }
}

static void print_decl(FILE *out, const Decl *decl) {
    static const char *const words[] = {
        [DECL_DEF] = "def",     [DECL_MODEL] = "model", [DECL_DATA] = "data",
        [DECL_TRAIN] = "train", [DECL_TEST] = "test",   [DECL_USE] = "use"};
    fputs(words[decl->kind], out);
    if (decl->name) fprintf(out, " %s", decl->name);
    if (decl->model) fprintf(out, " of %s", decl->model);
    if (decl->data) fprintf(out, " on %s", decl->data);
    if (decl->text) fputc(' ', out), print_string(out, decl->text);
    fputc('\n', out);
    print_doc(out, decl->doc);
    print_params(out, "arg", &decl->params);
    print_params(out, "out", &decl->outputs);
    print_body(out, &decl->body, 2);
}

/** Prints the file's own declarations, those of `gradus dump --stage=ast`. */
void ast_print(FILE *out, const Module *module) {
    for (int i = 0; i < module->decls.len; i++) {
        if (module->decls.at[i]->at.file == module->file) print_decl(out, module->decls.at[i]);
    }
}
