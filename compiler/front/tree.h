/* SPDX-License-Identifier: MIT
 * What the lexer, the token filter, the parser and the name checks share inside front/.
 * Needs ast.h. Not for other parts. */
#ifndef GRADUS_TREE_H
#define GRADUS_TREE_H
#include "ast.h"

typedef struct Token {
    int kind; /* T_... of the generated parser.h; one of Raw for what only the filter sees */
    Span at;
    Name name;        /* words, primed names, two-word keywords */
    double number;    /* numbers */
    bool integer;     /* a number without point and exponent */
    const char *text; /* strings: unescaped; declaring words: their doc comment; line ends: a
                         description of what follows */
    int depth;        /* how many braces are open around it */
} Token;
typedef VEC(Token) TokenList;
typedef VEC(Decl *) DeclList;

/* Kinds of raw tokens beside the parser's own. */
enum Raw { RAW_LINE = 10001, RAW_COMMENT, RAW_DOC, RAW_BAD };

/* One parse: the text's tokens, then what becomes of them. */
typedef struct Parse {
    Arena *arena;
    uint32_t file;
    uint32_t offset;  /* of the scanner */
    bool quiet;       /* the scanner reports nothing: for the formatter */
    TokenList raw;    /* all of the text, comments and line ends too */
    TokenList tokens; /* what the parser reads */
    int next;         /* the token that the parser reads next */
    bool at_end;      /* it has read the end */
    VEC(Span) faulty; /* ranges whose fault was told: the parser need not add to it */
    DeclList decls;
} Parse;

/* grammar/lexer.l: appends the whole text's raw tokens to parse->raw. */
void token_scan(Parse *parse);
/* tokens.c: makes parse->tokens of parse->raw. */
void token_filter(Parse *parse);
bool token_ends_operand(int kind);

/* build.c: the parser's actions. */
Expr *build_expr(Parse *parse, ExprKind kind, Span at);
Expr *build_unary(Parse *parse, const char *text, Expr *a, Span at);
Expr *build_binary(Parse *parse, const char *text, Expr *a, Expr *b, Span at);
Expr *build_pair(Parse *parse, ExprKind kind, Expr *a, Expr *b, Span at);
Stmt *build_stmt(Parse *parse, StmtKind kind, Span at);
Index build_index(Expr *expr, Span at);
Target build_target(Token token, const IndexList *indices, Span at);
Stmt *build_binding(Parse *parse, StmtKind kind, const Target *target, Expr *value, Span at);
Stmt *build_expect(Parse *parse, const char *what, Expr *value, Span at);
Stmt *build_run(Parse *parse, const char *unit, Expr *amount, Span at);
Decl *build_decl(Parse *parse, DeclKind kind, Token word, Token name);
void build_limit(Parse *parse, Decl *decl); /* cuts what is nested too deeply */
/* parse.c: tells that one of `count` things was expected where the last token stands. */
void parse_fault(Parse *parse, const char *const *expected, int count);

/* names.c: what the language itself knows, and the nearest of it. */
bool builtin_is(Name name);
bool builtin_is_fixed(Name name);    /* no def and no model may be called so */
bool builtin_is_constant(Name name); /* nothing may be called so */
const Name *builtin_all(int *count);

/* check.c, scope.c */
void check_module(const Module *module);
void check_def(const Module *module, const Decl *decl);
void check_keys(const Module *module, const Decl *decl);

/* lint.c */
void lint_module(const Module *module);
#endif
