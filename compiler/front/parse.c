/* SPDX-License-Identifier: MIT
 * Between the generated parser and its tokens: reading them, telling of syntax faults, and going on
 * at the next statement. Needs the scanner, the token filter and the generated parser.
 * Does not build trees. */
#include "tree.h"
#include "parser.h"
#include <string.h>

int gradus_lex(GRADUS_STYPE *value, GRADUS_LTYPE *at, Parse *parse);
void gradus_error(GRADUS_LTYPE *at, Parse *parse, const char *text);

/** The parser's next token. */
int gradus_lex(GRADUS_STYPE *value, GRADUS_LTYPE *at, Parse *parse) {
    const Token *token = &parse->tokens.at[parse->next];
    if (token->kind)
        parse->next++; /* the last one, the end, is read again and again */
    else
        parse->at_end = true;
    value->token = *token;
    *at = token->at;
    return token->kind;
}

/** Called by the parser where its stack is at its limit: the only fault without a token. */
void gradus_error(GRADUS_LTYPE *at, Parse *parse, const char *text) {
    (void)text;
    diag_error(*at, "E0109", "this is nested too deeply");
    while (parse->tokens.at[parse->next].kind)
        parse->next++;
}

static const char *found_text(const Parse *parse, const Token *token) {
    const Source *source = source_get(parse->file);
    if (token->kind == T_NEWLINE) return token->text;
    if (token->kind == T_END) return "the end of the file";
    const char *text = source->text + token->at.from;
    int length = (int)(token->at.to - token->at.from), most = 40;
    return arena_printf(parse->arena, "`%.*s%s`", length < most ? length : most, text,
                        length < most ? "" : "...");
}

static bool is_comparison(int kind) {
    return kind >= T_LT && kind <= T_NE;
}

/* After a fault the parser reads on at the end of the statement, past blocks inside it: so that
 * what stands in them is not taken for statements of the block around. */
static void skip_statement(Parse *parse, const Token *guilty) {
    if (guilty->kind == T_NEWLINE || guilty->kind == T_END) return;
    int i = parse->next;
    while (parse->tokens.at[i].kind != T_END &&
           (parse->tokens.at[i].kind != T_NEWLINE || parse->tokens.at[i].depth > guilty->depth))
        i++;
    parse->next = i;
}

static void tell(Parse *parse, const Token *guilty, const Token *before,
                 const char *const *expected, int count) {
    if (is_comparison(guilty->kind) && before && token_ends_operand(before->kind)) {
        diag_error(guilty->at, "E0106", "comparisons do not chain");
        diag_help("write `a < b and b < c`");
        return;
    }
    if (guilty->kind == T_ASSIGN && before && token_ends_operand(before->kind)) {
        diag_error(guilty->at, "E0107", "what stands before `=` cannot be assigned to");
        diag_help("on the left stands a name, `name'`, `name[i, j]` or `(a, b)`; `==` compares");
        return;
    }
    const char *list = "";
    for (int i = 0; i < count; i++) {
        const char *between = i == 0 ? "" : i + 1 == count ? " or " : ", ";
        list = arena_printf(parse->arena, "%s%s%s", list, between, expected[i]);
    }
    bool word = before && (before->kind == T_NAME) && (guilty->kind == T_NAME);
    if (guilty->depth == 0 && (!before || before->kind == T_NEWLINE)) {
        diag_error(guilty->at, "E0101", "a declaration does not begin with %s",
                   found_text(parse, guilty));
        diag_help("it begins with `def`, `model`, `data`, `train`, `test` or `use`");
    } else if (count == 0 || count > 6) {
        diag_error(guilty->at, "E0101", "%s does not belong here", found_text(parse, guilty));
    } else {
        diag_error(guilty->at, "E0101", "expected %s, found %s", list, found_text(parse, guilty));
    }
    if (word && before->at.to < guilty->at.from && guilty->depth > 0)
        diag_help("statements are separated by a new line or `;`");
}

/** Tells that one of `count` things was expected at the token that was read last. */
void parse_fault(Parse *parse, const char *const *expected, int count) {
    bool ended = parse->tokens.at[parse->next].kind == T_END && parse->at_end;
    int index = ended ? parse->next : parse->next - 1;
    const Token *guilty = &parse->tokens.at[index];
    const Token *before = index > 0 ? guilty - 1 : NULL;
    bool told = false;
    for (int i = 0; i < parse->faulty.len; i++) {
        Span range = parse->faulty.at[i];
        if (guilty->at.from >= range.from && guilty->at.from <= range.to) told = true;
    }
    if (!told) tell(parse, guilty, before, expected, count);
    skip_statement(parse, guilty);
}

/** Parses a text that source_add knows into declarations; faults are diagnosed and skipped. */
void parse_text(Arena *arena, uint32_t file, void *module_decls) {
    Parse parse = {.arena = arena, .file = file};
    memcpy(&parse.decls, module_decls, sizeof parse.decls);
    int before = parse.decls.len;
    token_scan(&parse);
    token_filter(&parse);
    gradus_parse(&parse);
    for (int i = before; i < parse.decls.len; i++)
        build_limit(&parse, parse.decls.at[i]);
    memcpy(module_decls, &parse.decls, sizeof parse.decls);
}
