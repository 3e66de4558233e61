/* SPDX-License-Identifier: MIT
 * The syntax tree: what the parser builds and elaboration reads. One public header of front/.
 * Needs base. Holds no shapes and no tensors. */
#ifndef GRADUS_AST_H
#define GRADUS_AST_H
#include "base.h"

typedef struct Expr Expr;
typedef struct Stmt Stmt;
typedef VEC(Expr *) ExprList;
typedef VEC(Stmt *) StmtList;

/* One index or dimension between brackets or in a header:
 *   `c`  `d...`  `i: (h - 2) / 2`  `28`  `filters`  `k: window`                              */
typedef struct Index {
    Name name;  /* NULL where it is an expression alone (`28`, `c * 2`) */
    bool pack;  /* `d...` */
    Expr *extent; /* after `:`; or the expression where name is NULL; NULL otherwise */
    Span at;
} Index;
typedef VEC(Index) IndexList;

typedef struct Arg { /* an argument of a call: positional where name is NULL */
    Name name;
    Expr *value;
    Span at;
} Arg;
typedef VEC(Arg) ArgList;

typedef enum ExprKind {
    EXPR_NUMBER,   /* number, integer */
    EXPR_STRING,   /* text */
    EXPR_NAME,     /* name: local, def, index, `none`, `training`, `pi`, `infinity`, `epoch`, … */
    EXPR_FIELD,    /* base . name          kind.target, validation.error_rate, trunk.*.b ("*" is a name) */
    EXPR_READ,     /* base [ args ; outside ]   coordinates are args (positional); `d...` is EXPR_PACK */
    EXPR_CALL,     /* base ( args ) */
    EXPR_UNARY,    /* op "-" "not"; a */
    EXPR_BINARY,   /* op + - * / % ^ < <= > >= == != and or; a, b */
    EXPR_IF,       /* if a then b else c */
    EXPR_REDUCE,   /* name = sum mean max min prod argmax argmin count; indices; a = body (NULL for count) */
    EXPR_CHAIN,    /* a -> b */
    EXPR_PRIMED,   /* name' read as a value (name) */
    EXPR_TUPLE,    /* ( args ) with two or more */
    EXPR_LIST,     /* [ args ] tensor literal in tests */
    EXPR_PACK,     /* d... as a coordinate (name) */
    EXPR_WHEN,     /* a when b             sets of a data block */
    EXPR_ON,       /* a on b               b is a name, a field path or a tuple of such */
    EXPR_ORDER,    /* order by a */
    EXPR_SAMPLE    /* sample with a */
} ExprKind;

struct Expr {
    ExprKind kind;
    Span at;
    Name name;      /* NAME FIELD REDUCE PRIMED PACK; operator text for UNARY BINARY */
    double number;
    bool integer;   /* the number was written without point or exponent */
    const char *text;
    Expr *base, *a, *b, *c;
    Expr *outside;  /* READ: the value taken outside, or NULL */
    ArgList args;
    IndexList indices; /* REDUCE */
};

typedef struct Target { /* one left-hand side: `y[c, i: h]`, `w'`, `old'[k: window, d...]` */
    Name name;
    bool primed;
    bool indexed; /* brackets were written */
    IndexList indices;
    Span at;
} Target;
typedef VEC(Target) TargetList;

typedef enum StmtKind {
    STMT_PARAM,        /* param target = value */
    STMT_STATE,        /* state target = value */
    STMT_BIND,         /* targets = value (several: tuple), maybe `shared` */
    STMT_VALUE,        /* an expression alone: the value of the def if it is the last one */
    STMT_PREDICT,      /* predict target = value */
    STMT_AT,           /* at value */
    STMT_EVALUATE_AT,  /* evaluate at value */
    STMT_AFTER_TRAINING, /* after training { body } */
    STMT_STOP_WHEN,    /* stop when value */
    STMT_REQUIRE,      /* require value, text */
    STMT_DERIVATIVE,   /* derivative name = value */
    STMT_REPEAT,       /* repeat value { body } */
    STMT_CHECK,        /* tests: check gradients [of value] */
    STMT_EXPECT,       /* tests: expect value [at body] | expect curve "f" | expect equal over … (text, value);
                          `a ~ b within c` is BINARY "~" with c */
    STMT_RUN           /* tests: train N steps | epochs [of text] (value, name = steps/epochs) */
} StmtKind;

struct Stmt {
    StmtKind kind;
    Span at;
    bool shared;
    TargetList targets;
    Name name;
    const char *text;
    Expr *value;
    StmtList body;     /* AFTER_TRAINING, REPEAT */
    StmtList where;    /* bindings after `where`, in order, each a STMT_BIND with one target */
};

typedef struct Param { /* a formal argument of a def, an input of a model, an output of a model */
    Name name;
    bool indexed;      /* a header in brackets was written: x[c, h, w] */
    IndexList indices;
    bool is_class;     /* `t: class` or `digit: class[10]` */
    Expr *classes;     /* the 10 of class[10], or NULL */
    Expr *value;       /* the default, or NULL */
    Span at;
} Param;
typedef VEC(Param) ParamList;

typedef enum DeclKind { DECL_DEF, DECL_MODEL, DECL_DATA, DECL_TRAIN, DECL_TEST, DECL_USE } DeclKind;

typedef struct Decl {
    DeclKind kind;
    Span at;          /* of the name */
    Name name;        /* NULL for an unnamed train */
    const char *doc;  /* text of the `##` comment above, "" where none */
    ParamList params; /* def, model */
    ParamList outputs; /* model */
    StmtList body;    /* def (a one-line def has one STMT_VALUE), model, test; data and train: STMT_BIND per key */
    Name model, data; /* train model on data (data NULL where none is named) */
    const char *text; /* use "file", test "name" */
    bool library;
} Decl;

/* All declarations that a file sees: the library's, those of used files, its own (later wins). */
typedef struct Module {
    Arena *arena;
    uint32_t file;
    VEC(Decl *) decls; /* library first, then used files, then the file's own */
    Map defs, models, datas; /* Name -> Decl* */
    VEC(Decl *) trains, tests; /* of the file itself */
} Module;

/* Parses one text into declarations, in order; faults are diagnosed and skipped. */
void parse_text(Arena *arena, uint32_t file, void *module_decls /* VEC(Decl*) of Module */);
/* Loads the embedded library, the file and what it uses; checks names. NULL where the file
 * cannot be read; otherwise diag_errors() tells whether it is usable. */
Module *module_load(Arena *arena, const char *path);
Module *module_load_text(Arena *arena, const char *path, const char *text);
/* Prints the tree in the form of `gradus dump --stage=ast` (own declarations only). */
void ast_print(FILE *out, const Module *module);
void layout_print(FILE *out, const char *text); /* as `gradus fmt` lays it out; it parses */
#endif
