/* SPDX-License-Identifier: MIT
 * The filter between scanner and parser: balances brackets, ends statements at newlines, decides
 * which words are keywords where they stand, and marks bindings. Needs the scanner's raw tokens.
 * Does not know the grammar beyond a word's neighbours. */
#include "tree.h"
#include "parser.h"
#include <ctype.h>
#include <string.h>

typedef struct Open { /* an open bracket */
    int kind;
    Span at;
    bool reduction; /* the brackets of a reduction: its body may begin on the next line */
} Open;

typedef struct Filter {
    Parse *parse;
    VEC(Open) open;
    int depth;       /* open braces */
    int block;       /* T_DEF T_MODEL T_DATA T_TRAIN T_TEST: what the innermost text belongs to */
    int statement;   /* the keyword token kind that began this statement, or 0 */
    bool line;       /* a line ended before the raw token at hand */
    bool blank;      /* and an empty line too */
    bool goes_on;    /* the last token closed a reduction's brackets */
    const char *doc; /* the comment that the next declaration gets, or NULL */
} Filter;

static const Token *last(const Filter *f) {
    const TokenList *tokens = &f->parse->tokens;
    return tokens->len ? &tokens->at[tokens->len - 1] : NULL;
}

static int last_kind(const Filter *f) {
    return last(f) ? last(f)->kind : T_NEWLINE;
}

static bool starts_statement(const Filter *f) {
    int kind = last_kind(f);
    return kind == T_NEWLINE || (kind == T_LBRACE);
}

static int innermost(const Filter *f) {
    return f->open.len ? f->open.at[f->open.len - 1].kind : T_LBRACE;
}

static void emit(Filter *f, Token token) {
    token.depth = f->depth;
    VEC_PUSH(f->parse->arena, f->parse->tokens, token);
}

/* A token that the text does not have, at the end of the last one. */
static void insert(Filter *f, int kind, const char *text) {
    uint32_t at = last(f) ? last(f)->at.to : 0;
    emit(f, (Token){.kind = kind, .at = {f->parse->file, at, at}, .text = text});
}

/** Whether a token of this kind can be the last one of an operand. */
bool token_ends_operand(int kind) {
    return kind == T_NAME || kind == T_PRIMED || kind == T_NUMBER || kind == T_STRING ||
           kind == T_RPAREN || kind == T_RBRACKET;
}

/* A line may end after any token but those that need something behind them. */
static bool may_end(int kind) {
    return token_ends_operand(kind) || kind == T_RBRACE || kind == T_STEPS || kind == T_EPOCHS ||
           kind == T_CHECK_GRADIENTS || kind == T_CLASS;
}

static bool continues(int kind) {
    return kind == T_ARROW || kind == T_WHERE || kind == T_THEN || kind == T_ELSE ||
           kind == T_AND || kind == T_OR || kind == T_LBRACE;
}

/* `*` ends a statement only as the end of a path: `trunk.*` */
static bool ends_statement(const Filter *f) {
    int count = f->parse->tokens.len;
    if (count == 0 || f->goes_on) return false;
    if (last_kind(f) == T_STAR) return count > 1 && last(f)[-1].kind == T_DOT;
    return may_end(last_kind(f));
}

static void end_statement(Filter *f, const char *next) {
    if (starts_statement(f)) return;
    insert(f, T_NEWLINE, next);
    f->statement = 0;
    f->goes_on = false;
}

/* The raw token behind `i`, comments skipped. */
static const Token *raw_after(const Filter *f, int i) {
    static const Token end = {.kind = RAW_LINE};
    const TokenList *raw = &f->parse->raw;
    for (i++; i < raw->len; i++) {
        if (raw->at[i].kind != RAW_COMMENT && raw->at[i].kind != RAW_DOC) return &raw->at[i];
    }
    return &end;
}

static bool is_word(const Token *token, const char *text) {
    return token->kind == T_NAME && strcmp(token->name, text) == 0;
}

/* The raw index behind the bracket that closes the one at `i`; line ends within are skipped. */
static int raw_close(const Filter *f, int i) {
    const TokenList *raw = &f->parse->raw;
    int depth = 0;
    for (; i < raw->len; i++) {
        int kind = raw->at[i].kind;
        if (kind == T_LPAREN || kind == T_LBRACKET) depth++;
        if (kind == T_LBRACE || kind == T_RBRACE) break;
        if ((kind == T_RPAREN || kind == T_RBRACKET) && --depth == 0) return i + 1;
    }
    return raw->len;
}

/* Whether `a = `, `a' = `, `a[...] = ` or `(...) = ` begins at raw token `i`. */
static bool begins_binding(const Filter *f, int i) {
    const TokenList *raw = &f->parse->raw;
    int kind = raw->at[i].kind;
    if (kind == T_NAME || kind == T_PRIMED) {
        i++;
        if (i < raw->len && raw->at[i].kind == T_LBRACKET) i = raw_close(f, i);
    } else if (kind == T_LPAREN) {
        i = raw_close(f, i);
    } else {
        return false;
    }
    return i < raw->len && raw->at[i].kind == T_ASSIGN;
}

/* Two words that are one keyword, wherever an operand or statement may begin. */
typedef struct Pair {
    const char *first, *second;
    int kind, block; /* the block in which it is known; 0: all */
    bool statement;  /* only where a statement begins */
} Pair;
static const Pair pairs[] = {
    {"order", "by", T_ORDER_BY, 0, false},
    {"sample", "with", T_SAMPLE_WITH, 0, false},
    {"stop", "when", T_STOP_WHEN, T_DEF, true},
    {"evaluate", "at", T_EVALUATE_AT, T_DEF, true},
    {"after", "training", T_AFTER_TRAINING, T_DEF, true},
    {"check", "gradients", T_CHECK_GRADIENTS, T_TEST, true},
    {"equal", "over", T_EQUAL_OVER, T_TEST, false},
};

static bool is_pair(int kind) {
    for (int i = 0; i < LENGTH(pairs); i++) {
        if (pairs[i].kind == kind) return true;
    }
    return false;
}

static int pair_kind(const Filter *f, const Token *word, const Token *next) {
    if (token_ends_operand(last_kind(f))) return 0;
    for (int i = 0; i < LENGTH(pairs); i++) {
        bool block = !pairs[i].block || pairs[i].block == f->block || f->block == T_MODEL;
        bool place = pairs[i].kind == T_EQUAL_OVER ? last_kind(f) == T_EXPECT
                                                   : !pairs[i].statement || starts_statement(f);
        if (block && place && is_word(word, pairs[i].first) && is_word(next, pairs[i].second))
            return pairs[i].kind;
    }
    return 0;
}

/* `next` NULL: whatever follows. */
static int declaring_kind(const Token *word, const Token *next) {
    static const struct {
        const char *text;
        int kind, next;
    } words[] = {{"def", T_DEF, T_NAME},     {"model", T_MODEL, T_NAME}, {"data", T_DATA, T_NAME},
                 {"train", T_TRAIN, T_NAME}, {"test", T_TEST, T_STRING}, {"use", T_USE, T_STRING}};
    for (int i = 0; i < LENGTH(words); i++) {
        if (is_word(word, words[i].text))
            return !next || words[i].next == next->kind ? words[i].kind : 0;
    }
    return 0;
}

/* `repeat (n - 1) {` is a block, `repeat(x)` a call: the line tells. */
static bool brace_on_line(const Filter *f, int i) {
    const TokenList *raw = &f->parse->raw;
    for (; i < raw->len && raw->at[i].kind != RAW_LINE; i++) {
        if (raw->at[i].kind == T_LBRACE) return true;
    }
    return false;
}

/* Words that begin a statement, by what follows them. */
static int statement_kind(const Filter *f, int i) {
    const Token *word = &f->parse->raw.at[i], *next = raw_after(f, i);
    bool named = next->kind == T_NAME || next->kind == T_PRIMED;
    bool value = named || next->kind == T_NUMBER || next->kind == T_LPAREN || next->kind == T_IF ||
                 next->kind == T_NOT || next->kind == T_STRING || next->kind == T_LBRACKET ||
                 next->kind == T_MINUS;
    if (f->block == T_TEST) {
        if (is_word(word, "expect") && value) return T_EXPECT;
        if (is_word(word, "train") && value) return T_RUN;
        return 0;
    }
    static const struct {
        const char *text;
        int kind;
    } words[] = {{"param", T_PARAM},
                 {"state", T_STATE},
                 {"shared", T_SHARED},
                 {"predict", T_PREDICT},
                 {"derivative", T_DERIVATIVE}};
    for (int j = 0; j < LENGTH(words); j++) {
        if (named && is_word(word, words[j].text)) return words[j].kind;
    }
    bool simple = value && next->kind != T_LBRACKET && next->kind != T_MINUS;
    if (is_word(word, "at") && simple) return T_AT;
    if (is_word(word, "require") && (simple || next->kind == T_MINUS)) return T_REQUIRE;
    if (is_word(word, "repeat") && simple && brace_on_line(f, i)) return T_REPEAT;
    return 0;
}

/* Words between operands. */
static int infix_kind(const Filter *f, const Token *word, const Token *next) {
    int before = last_kind(f);
    bool ran = before == T_STEPS || before == T_EPOCHS;
    if (is_word(word, "of") && (before == T_CHECK_GRADIENTS || ran)) return T_OF;
    if (!token_ends_operand(before)) return 0;
    if (is_word(word, "when")) return T_WHEN;
    if (is_word(word, "on")) return T_ON;
    if (is_word(word, "of") && f->depth == 0 && f->statement == T_TRAIN) return T_OF;
    if (f->statement == T_EXPECT && is_word(word, "within")) return T_WITHIN;
    if (f->statement == T_EXPECT && is_word(word, "at")) return T_AT;
    if (f->statement == T_RUN && next->kind != T_LPAREN) {
        if (is_word(word, "steps")) return T_STEPS;
        if (is_word(word, "epochs")) return T_EPOCHS;
    }
    return 0;
}

static bool is_reduction(const Token *word) {
    static const char *const words[] = {"sum", "mean", "max", "min", "prod", "argmax", "argmin"};
    for (int i = 0; i < LENGTH(words); i++) {
        if (is_word(word, words[i])) return true;
    }
    return false;
}

/* What the word at raw token `i` is here; T_NAME where it is nothing special. */
static int word_kind(Filter *f, int i) {
    const Token *word = &f->parse->raw.at[i], *next = raw_after(f, i);
    if (last_kind(f) == T_COLON && innermost(f) != T_LBRACKET && is_word(word, "class"))
        return T_CLASS;
    if (last_kind(f) == T_DOT || next->kind == T_ASSIGN) return T_NAME;
    int kind = 0;
    if (starts_statement(f)) {
        kind = f->depth == 0 ? declaring_kind(word, NULL) : statement_kind(f, i);
        if (!kind) kind = pair_kind(f, word, next);
        f->statement = kind;
        if (kind) return kind;
    }
    kind = pair_kind(f, word, next);
    if (!kind) kind = infix_kind(f, word, next);
    if (kind) return kind;
    if (next->kind == T_LBRACKET && is_reduction(word)) return T_REDUCE;
    if (next->kind == T_LBRACKET && is_word(word, "count")) return T_COUNT;
    if (last_kind(f) == T_EXPECT && is_word(word, "curve") && next->kind == T_STRING)
        return T_CURVE;
    return T_NAME;
}

static const char *bracket_text(int kind) {
    switch (kind) {
    case T_LPAREN:
        return "(";
    case T_LBRACKET:
        return "[";
    default:
        return "{";
    }
}

static int closer_of(int kind) {
    return kind == T_LPAREN ? T_RPAREN : kind == T_LBRACKET ? T_RBRACKET : T_RBRACE;
}

/* Closes the innermost bracket with a token of our own. */
static void close_missing(Filter *f, bool tell) {
    Open open = f->open.at[f->open.len - 1];
    if (tell) diag_error(open.at, "E0105", "`%s` is not closed", bracket_text(open.kind));
    uint32_t end = last(f) ? last(f)->at.to : open.at.to;
    VEC_PUSH(f->parse->arena, f->parse->faulty, ((Span){f->parse->file, open.at.from, end}));
    if (open.kind == T_LBRACE) end_statement(f, "the end of the line");
    f->open.len--;
    if (open.kind == T_LBRACE) f->depth--;
    insert(f, closer_of(open.kind), NULL);
}

/* Handles a closing bracket; false where it closes nothing and is dropped. */
static bool close_bracket(Filter *f, const Token *token) {
    int found = f->open.len - 1;
    while (found >= 0 && closer_of(f->open.at[found].kind) != token->kind) {
        if (f->open.at[found].kind == T_LBRACE) found = 0; /* ) and ] do not reach out of { } */
        found--;
    }
    if (found < 0) {
        diag_error(token->at, "E0105", "this closes nothing");
        VEC_PUSH(f->parse->arena, f->parse->faulty, token->at);
        return false;
    }
    while (f->open.len - 1 > found)
        close_missing(f, f->open.len - 2 == found);
    Open open = f->open.at[--f->open.len];
    if (token->kind == T_RBRACE) {
        end_statement(f, "`}`");
        f->depth--;
    }
    f->goes_on = open.reduction;
    return true;
}

static void open_bracket(Filter *f, const Token *token) {
    int before = last_kind(f);
    bool reduction = token->kind == T_LBRACKET && before == T_REDUCE;
    emit(f, *token);
    VEC_PUSH(f->parse->arena, f->open, ((Open){token->kind, token->at, reduction}));
    if (token->kind == T_LBRACE) f->depth++;
}

/* A statement that begins with an operator was meant to go on from the line above. */
static void refuse_operator(Filter *f, const Token *token) {
    bool comparison = token->kind >= T_LT && token->kind <= T_NE;
    bool binary = token->kind >= T_PLUS && token->kind <= T_CARET;
    if (!binary && !comparison) return;
    const char *text = source_get(token->at.file)->text + token->at.from;
    int length = (int)(token->at.to - token->at.from);
    diag_error(token->at, "E0101", "a statement does not begin with `%.*s`", length, text);
    diag_help("to go on from the line above, end that line with `%.*s`", length, text);
    if (token->kind == T_MINUS) diag_help("a negative value alone stands in brackets: (-x)");
    VEC_PUSH(f->parse->arena, f->parse->faulty, token->at);
}

static void begin_token(Filter *f, int i) {
    const Token *token = &f->parse->raw.at[i];
    /* A declaration at the left edge: what is still open was forgotten. */
    if (f->line && declaring_kind(token, raw_after(f, i))) {
        const Source *source = source_get(f->parse->file);
        bool edge = token->at.from == 0 || source->text[token->at.from - 1] == '\n';
        for (bool tell = true; edge && f->open.len; tell = false)
            close_missing(f, tell);
        if (edge) end_statement(f, "the end of the line");
    }
    if (!f->line || innermost(f) != T_LBRACE) return;
    if (ends_statement(f) && !continues(token->kind))
        end_statement(f, token->kind == T_RBRACE ? "`}`" : "the end of the line");
}

/* Tells the parser that a left-hand side begins: that is not seen by one token ahead. */
static void mark_binding(Filter *f, int i, int kind) {
    bool body = f->depth > 0 && f->block != T_DATA && f->block != T_TRAIN;
    bool target = kind == T_NAME || kind == T_PRIMED || kind == T_LPAREN;
    if (!body || !target || !starts_statement(f) || !begins_binding(f, i)) return;
    emit(f, (Token){.kind = T_BINDING, .at = f->parse->raw.at[i].at});
}

/* Emits the raw token `i` as this kind; returns how many raw tokens it takes. */
static int emit_as(Filter *f, int i, int kind) {
    const TokenList *raw = &f->parse->raw;
    Token token = raw->at[i];
    token.kind = kind;
    if (kind >= T_DEF && kind <= T_USE) {
        f->block = kind;
        token.text = f->doc;
    }
    bool pair = is_pair(kind);
    if (pair) token.at = span_join(token.at, raw->at[i + 1].at);
    emit(f, token);
    return pair ? 2 : 1;
}

/* Takes the raw token `i`; returns how many raw tokens were used up. */
static int take(Filter *f, int i) {
    const Token *token = &f->parse->raw.at[i];
    int kind = token->kind;
    if (starts_statement(f)) refuse_operator(f, token);
    f->goes_on = false;
    if (kind == T_NAME) kind = word_kind(f, i);
    if (token->name && last_kind(f) == T_DOT) kind = T_NAME; /* fields may have any name */
    mark_binding(f, i, kind);
    switch (kind) {
    case T_LPAREN:
    case T_LBRACKET:
    case T_LBRACE:
        open_bracket(f, token);
        return 1;
    case T_RPAREN:
    case T_RBRACKET:
    case T_RBRACE:
        if (close_bracket(f, token)) emit(f, *token);
        return 1;
    case T_SEMICOLON:
        if (innermost(f) == T_LBRACE)
            end_statement(f, "`;`");
        else
            emit(f, *token);
        return 1;
    default:
        return emit_as(f, i, kind);
    }
}

static void add_doc(Filter *f, const Token *token) {
    const Source *source = source_get(f->parse->file);
    const char *text = source->text + token->at.from + 2;
    int length = (int)(token->at.to - token->at.from) - 2;
    if (length > 0 && *text == ' ') {
        text++;
        length--;
    }
    while (length > 0 && isspace((unsigned char)text[length - 1]))
        length--; /* what lays a text out takes it away */
    if (f->blank || !f->doc) f->doc = "";
    f->doc = arena_printf(f->parse->arena, "%s%.*s\n", f->doc, length, text);
}

/* What else is wrong in the line behind a character that means nothing follows from it. */
static void refuse_line(Filter *f, const Token *token) {
    const Source *source = source_get(f->parse->file);
    Span rest = token->at;
    while (rest.to < source->length && source->text[rest.to] != '\n')
        rest.to++;
    VEC_PUSH(f->parse->arena, f->parse->faulty, rest);
}

/** Makes parse->tokens of parse->raw: balanced, with line ends and keywords settled. */
void token_filter(Parse *parse) {
    Filter f = {.parse = parse};
    for (int i = 0; i < parse->raw.len;) {
        const Token *token = &parse->raw.at[i];
        if (token->kind == RAW_LINE) {
            f.blank = f.line;
            f.line = true;
            i++;
            continue;
        }
        if (f.blank && token->kind != RAW_DOC) f.doc = NULL;
        if (token->kind == RAW_DOC && (f.line || i == 0)) add_doc(&f, token);
        if (token->kind == RAW_BAD) refuse_line(&f, token);
        if (token->kind > RAW_LINE) {
            i++;
        } else {
            begin_token(&f, i);
            i += take(&f, i);
            f.doc = NULL;
        }
        f.line = f.blank = false;
    }
    for (bool tell = true; f.open.len; tell = false)
        close_missing(&f, tell);
    end_statement(&f, "the end of the file");
    emit(&f, (Token){.kind = T_END,
                     .at = {parse->file, (uint32_t)source_get(parse->file)->length,
                            (uint32_t)source_get(parse->file)->length}});
}
