/* SPDX-License-Identifier: MIT
 * The grammar. Each rule builds its node through front/build.c.
 * Needs the token filter of front/tokens.c, which has settled keywords and the ends of statements.
 * Does not know names, shapes or meaning. */
%code requires {
#include "tree.h"
}
%code {
/* front/parse.c */
int gradus_lex(GRADUS_STYPE *value, GRADUS_LTYPE *at, Parse *parse);
void gradus_error(GRADUS_LTYPE *at, Parse *parse, const char *text);
#define YYLLOC_DEFAULT(Current, Rhs, N)                                                          \
    ((Current) = (N) ? span_join(YYRHSLOC(Rhs, 1), YYRHSLOC(Rhs, N))                             \
                     : (Span){YYRHSLOC(Rhs, 0).file, YYRHSLOC(Rhs, 0).to, YYRHSLOC(Rhs, 0).to})
#define PUSH(list, ...) VEC_PUSH(parse->arena, list, __VA_ARGS__)
}
%define api.pure full
%define api.prefix {gradus_}
%define api.token.prefix {T_}
%define api.location.type {Span}
%define parse.error custom
%define parse.lac full
%locations
%param {Parse *parse}
%expect 0

%union {
    Token token;
    Expr *expr;
    Stmt *stmt;
    StmtList stmts;
    Decl *decl;
    Arg arg;
    ArgList args;
    Index index;
    IndexList indices;
    Target target;
    TargetList targets;
    Param param;
    ParamList params;
}

%token END 0 "the end of the file"
%token NEWLINE "the end of the line"
%token <token> NAME "a name" PRIMED "a primed name" NUMBER "a number" STRING "a string"
%token <token> DEF "`def`" MODEL "`model`" DATA "`data`" TRAIN "`train`" TEST "`test`" USE "`use`"
%token <token> REDUCE "a reduction" COUNT "`count`"
%token <token> IF "`if`" THEN "`then`" ELSE "`else`" AND "`and`" OR "`or`" NOT "`not`"
%token WHERE "`where`" WHEN "`when`" ON "`on`" OF "`of`" CLASS "`class`"
%token PARAM "`param`" STATE "`state`" SHARED "`shared`" PREDICT "`predict`" AT "`at`"
%token EVALUATE_AT "`evaluate at`" AFTER_TRAINING "`after training`" STOP_WHEN "`stop when`" REQUIRE "`require`"
%token DERIVATIVE "`derivative`" REPEAT "`repeat`" ORDER_BY "`order by`"
%token SAMPLE_WITH "`sample with`"
%token CHECK_GRADIENTS "`check gradients`" EXPECT "`expect`" CURVE "`curve`"
%token EQUAL_OVER "`equal over`" RUN "`train` (in a test)" STEPS "`steps`" EPOCHS "`epochs`"
%token BINDING "a binding"
%token ARROW "`->`" DOTS "`...`" ASSIGN "`=`" COMMA "`,`" COLON "`:`" SEMICOLON "`;`" DOT "`.`"
%token LPAREN "`(`" RPAREN "`)`" LBRACKET "`[`" RBRACKET "`]`" LBRACE "`{`" RBRACE "`}`"
%token PLUS "`+`" MINUS "`-`" STAR "`*`" SLASH "`/`" PERCENT "`%`" CARET "`^`"
%token LT "`<`" LE "`<=`" GT "`>`" GE "`>=`" EQ "`==`" NE "`!=`" TILDE "`~`" WITHIN "`within`"

/* From the weakest to the strongest. An `if` reaches to its end, chains and all. */
%nonassoc WHEN
%precedence ON
%precedence ELSE ORDER_BY SAMPLE_WITH
%left ARROW
%left OR
%left AND
%precedence NOT
%nonassoc LT LE GT GE EQ NE
%left PLUS MINUS
%precedence REDUCTION
%left STAR SLASH PERCENT
%precedence NEGATION
%right CARET

%type <decl> decl train_head
%type <params> params params_some outputs outputs_some
%type <param> param header output
%type <stmts> block stmts keys where bindings numbers
%type <stmt> stmt plain key run
%type <targets> targets targets_some
%type <target> target
%type <indices> indices
%type <index> index
%type <expr> expr claim postfix primary coordinate values path_head
%type <args> args args_some list list_some coordinates values_some
%type <arg> arg
%type <token> word
%%
file: decls;

decls: %empty
    | decls NEWLINE
    | decls decl NEWLINE { if ($decl) PUSH(parse->decls, $decl); }
    | decls error NEWLINE { yyerrok; };

decl: DEF NAME LPAREN params RPAREN ASSIGN expr where {
        $$ = build_decl(parse, DECL_DEF, $DEF, $NAME);
        $$->params = $params;
        Stmt *value = build_stmt(parse, STMT_VALUE, @expr);
        value->value = $expr;
        value->where = $where;
        PUSH($$->body, value);
    }
    | DEF NAME LPAREN params RPAREN block {
        $$ = build_decl(parse, DECL_DEF, $DEF, $NAME);
        $$->params = $params;
        $$->body = $block;
    }
    | MODEL NAME LPAREN params RPAREN outputs block {
        $$ = build_decl(parse, DECL_MODEL, $MODEL, $NAME);
        $$->params = $params;
        $$->outputs = $outputs;
        $$->body = $block;
    }
    | DATA NAME LBRACE keys RBRACE {
        $$ = build_decl(parse, DECL_DATA, $DATA, $NAME);
        $$->body = $keys;
    }
    | train_head LBRACE keys RBRACE {
        $$ = $train_head;
        $$->body = $keys;
    }
    | TEST STRING block {
        $$ = build_decl(parse, DECL_TEST, $TEST, $STRING);
        $$->text = $STRING.text;
        $$->body = $block;
    }
    | USE STRING {
        $$ = build_decl(parse, DECL_USE, $USE, $STRING);
        $$->text = $STRING.text;
    };

train_head: TRAIN NAME[model] {
        $$ = build_decl(parse, DECL_TRAIN, $TRAIN, $model);
        $$->name = NULL;
        $$->model = $model.name;
    }
    | TRAIN NAME[name] OF NAME[model] {
        $$ = build_decl(parse, DECL_TRAIN, $TRAIN, $name);
        $$->model = $model.name;
    }
    | train_head ON NAME[data] { $$ = $1; $$->data = $data.name; };

params: %empty { $$ = (ParamList){0}; } | params_some;
params_some: param { $$ = (ParamList){0}; PUSH($$, $1); }
    | params_some COMMA param { $$ = $1; PUSH($$, $3); };
param: header
    | header ASSIGN expr { $$ = $1; $$.value = $3; $$.at = @$; };
header: output
    | NAME LBRACKET indices RBRACKET COLON CLASS {
        $$ = (Param){.name = $NAME.name, .indexed = true, .indices = $indices, .is_class = true, .at = @$};
    }
    | NAME LBRACKET indices RBRACKET COLON CLASS LBRACKET expr RBRACKET {
        $$ = (Param){.name = $NAME.name, .indexed = true, .indices = $indices, .is_class = true,
                     .classes = $expr, .at = @$};
    };
output: NAME { $$ = (Param){.name = $NAME.name, .at = @$}; }
    | NAME LBRACKET indices RBRACKET {
        $$ = (Param){.name = $NAME.name, .indexed = true, .indices = $indices, .at = @$};
    }
    | NAME COLON CLASS { $$ = (Param){.name = $NAME.name, .is_class = true, .at = @$}; }
    | NAME COLON CLASS LBRACKET expr RBRACKET {
        $$ = (Param){.name = $NAME.name, .is_class = true, .classes = $expr, .at = @$};
    };
outputs: %empty { $$ = (ParamList){0}; } | ARROW outputs_some { $$ = $2; };
outputs_some: output { $$ = (ParamList){0}; PUSH($$, $1); }
    | outputs_some COMMA output { $$ = $1; PUSH($$, $3); };

block: LBRACE stmts RBRACE { $$ = $stmts; };
stmts: %empty { $$ = (StmtList){0}; }
    | stmts NEWLINE
    | stmts stmt NEWLINE { $$ = $1; PUSH($$, $stmt); }
    | stmts error NEWLINE { $$ = $1; yyerrok; };
stmt: plain where { $$ = $plain; $$->where = $where; $$->at = @$; }
    | AFTER_TRAINING block {
        $$ = build_stmt(parse, STMT_AFTER_TRAINING, @$);
        $$->body = $block;
    }
    | REPEAT expr block {
        $$ = build_stmt(parse, STMT_REPEAT, @$);
        $$->value = $expr;
        $$->body = $block;
    }
    | CHECK_GRADIENTS {
        $$ = build_stmt(parse, STMT_CHECK, @$);
        $$->name = name_of("gradients");
    }
    | CHECK_GRADIENTS OF expr {
        $$ = build_stmt(parse, STMT_CHECK, @$);
        $$->name = name_of("gradients");
        $$->value = $expr;
    }
    | EXPECT claim numbers where {
        $$ = build_expect(parse, NULL, $claim, @$);
        $$->body = $numbers;
        $$->where = $where;
    }
    | EXPECT CURVE STRING {
        $$ = build_expect(parse, "curve", NULL, @$);
        $$->text = $STRING.text;
    }
    | EXPECT EQUAL_OVER values { $$ = build_expect(parse, "equal over", $values, @$); }
    | run
    | run OF NAME { $$ = $run; $$->text = $NAME.name; $$->at = @$; };
run: RUN expr STEPS { $$ = build_run(parse, "steps", $expr, @$); }
    | RUN expr EPOCHS { $$ = build_run(parse, "epochs", $expr, @$); };
claim: expr
    | expr[a] TILDE expr[b] WITHIN expr[c] {
        $$ = build_binary(parse, "~", $a, $b, @$);
        $$->c = $c;
    };
numbers: %empty { $$ = (StmtList){0}; } | AT bindings { $$ = $bindings; };
plain: PARAM target ASSIGN expr { $$ = build_binding(parse, STMT_PARAM, &$target, $expr, @$); }
    | STATE target ASSIGN expr { $$ = build_binding(parse, STMT_STATE, &$target, $expr, @$); }
    | PREDICT target ASSIGN expr { $$ = build_binding(parse, STMT_PREDICT, &$target, $expr, @$); }
    | SHARED target ASSIGN expr {
        $$ = build_binding(parse, STMT_BIND, &$target, $expr, @$);
        $$->shared = true;
    }
    | DERIVATIVE target ASSIGN expr {
        $$ = build_binding(parse, STMT_DERIVATIVE, &$target, $expr, @$);
        $$->name = $target.name;
    }
    | BINDING targets ASSIGN expr {
        $$ = build_stmt(parse, STMT_BIND, @$);
        $$->targets = $targets;
        $$->value = $expr;
    }
    | AT expr { $$ = build_stmt(parse, STMT_AT, @$); $$->value = $expr; }
    | EVALUATE_AT expr { $$ = build_stmt(parse, STMT_EVALUATE_AT, @$); $$->value = $expr; }
    | STOP_WHEN expr { $$ = build_stmt(parse, STMT_STOP_WHEN, @$); $$->value = $expr; }
    | REQUIRE expr COMMA STRING {
        $$ = build_stmt(parse, STMT_REQUIRE, @$);
        $$->value = $expr;
        $$->text = $STRING.text;
    }
    | expr { $$ = build_stmt(parse, STMT_VALUE, @$); $$->value = $expr; };

keys: %empty { $$ = (StmtList){0}; }
    | keys NEWLINE
    | keys key NEWLINE { $$ = $1; PUSH($$, $key); }
    | keys error NEWLINE { $$ = $1; yyerrok; };
key: NAME ASSIGN values where {
        Target target = build_target($NAME, NULL, @NAME);
        $$ = build_binding(parse, STMT_BIND, &target, $values, @$);
        $$->where = $where;
    };
values: expr
    | values_some { $$ = build_expr(parse, EXPR_TUPLE, @$); $$->args = $1; };
values_some: expr[a] COMMA expr[b] {
        $$ = (ArgList){0};
        PUSH($$, (Arg){NULL, $a, @a});
        PUSH($$, (Arg){NULL, $b, @b});
    }
    | values_some COMMA expr { $$ = $1; PUSH($$, (Arg){NULL, $expr, @expr}); };

where: %empty { $$ = (StmtList){0}; } | WHERE bindings { $$ = $2; };
bindings: target ASSIGN expr {
        $$ = (StmtList){0};
        PUSH($$, build_binding(parse, STMT_BIND, &$target, $expr, @$));
    }
    | bindings COMMA target ASSIGN expr {
        $$ = $1;
        PUSH($$, build_binding(parse, STMT_BIND, &$target, $expr, span_join(@target, @expr)));
    };

targets: target { $$ = (TargetList){0}; PUSH($$, $1); }
    | LPAREN targets_some RPAREN { $$ = $2; };
targets_some: target { $$ = (TargetList){0}; PUSH($$, $1); }
    | targets_some COMMA target { $$ = $1; PUSH($$, $3); };
target: NAME { $$ = build_target($1, NULL, @$); }
    | PRIMED { $$ = build_target($1, NULL, @$); }
    | NAME LBRACKET indices RBRACKET { $$ = build_target($1, &$indices, @$); }
    | PRIMED LBRACKET indices RBRACKET { $$ = build_target($1, &$indices, @$); };

indices: index { $$ = (IndexList){0}; PUSH($$, $1); }
    | indices COMMA index { $$ = $1; PUSH($$, $3); };
index: expr { $$ = build_index($1, @$); }
    | NAME DOTS { $$ = (Index){.name = $NAME.name, .pack = true, .at = @$}; }
    | NAME COLON expr { $$ = (Index){.name = $NAME.name, .extent = $expr, .at = @$}; };

expr: postfix
    | IF expr[c] THEN expr[a] ELSE expr[b] {
        $$ = build_expr(parse, EXPR_IF, @$);
        $$->a = $c;
        $$->b = $a;
        $$->c = $b;
    }
    | REDUCE LBRACKET indices RBRACKET expr[body] %prec REDUCTION {
        $$ = build_expr(parse, EXPR_REDUCE, @$);
        $$->name = $REDUCE.name;
        $$->indices = $indices;
        $$->a = $body;
    }
    | NOT expr[a] { $$ = build_unary(parse, "not", $a, @$); }
    | MINUS expr[a] %prec NEGATION { $$ = build_unary(parse, "-", $a, @$); }
    | expr[a] CARET expr[b] { $$ = build_binary(parse, "^", $a, $b, @$); }
    | expr[a] STAR expr[b] { $$ = build_binary(parse, "*", $a, $b, @$); }
    | expr[a] SLASH expr[b] { $$ = build_binary(parse, "/", $a, $b, @$); }
    | expr[a] PERCENT expr[b] { $$ = build_binary(parse, "%", $a, $b, @$); }
    | expr[a] PLUS expr[b] { $$ = build_binary(parse, "+", $a, $b, @$); }
    | expr[a] MINUS expr[b] { $$ = build_binary(parse, "-", $a, $b, @$); }
    | expr[a] LT expr[b] { $$ = build_binary(parse, "<", $a, $b, @$); }
    | expr[a] LE expr[b] { $$ = build_binary(parse, "<=", $a, $b, @$); }
    | expr[a] GT expr[b] { $$ = build_binary(parse, ">", $a, $b, @$); }
    | expr[a] GE expr[b] { $$ = build_binary(parse, ">=", $a, $b, @$); }
    | expr[a] EQ expr[b] { $$ = build_binary(parse, "==", $a, $b, @$); }
    | expr[a] NE expr[b] { $$ = build_binary(parse, "!=", $a, $b, @$); }
    | expr[a] AND expr[b] { $$ = build_binary(parse, "and", $a, $b, @$); }
    | expr[a] OR expr[b] { $$ = build_binary(parse, "or", $a, $b, @$); }
    | expr[a] ARROW expr[b] { $$ = build_pair(parse, EXPR_CHAIN, $a, $b, @$); }
    | expr[a] WHEN expr[b] { $$ = build_pair(parse, EXPR_WHEN, $a, $b, @$); }
    | expr[a] ON path_head[b] { $$ = build_pair(parse, EXPR_ON, $a, $b, @$); }
    | ORDER_BY expr[a] { $$ = build_pair(parse, EXPR_ORDER, $a, NULL, @$); }
    | SAMPLE_WITH expr[a] { $$ = build_pair(parse, EXPR_SAMPLE, $a, NULL, @$); };

path_head: postfix
    | STAR DOT NAME {
        Expr *all = build_expr(parse, EXPR_NAME, @STAR);
        all->name = name_of("*");
        $$ = build_expr(parse, EXPR_FIELD, @$);
        $$->base = all;
        $$->name = $NAME.name;
    };

postfix: primary
    | postfix[base] DOT word {
        $$ = build_expr(parse, EXPR_FIELD, @$);
        $$->base = $base;
        $$->name = $word.name;
    }
    | postfix[base] LPAREN args RPAREN {
        $$ = build_expr(parse, EXPR_CALL, @$);
        $$->base = $base;
        $$->args = $args;
    }
    | postfix[base] LBRACKET coordinates RBRACKET {
        $$ = build_expr(parse, EXPR_READ, @$);
        $$->base = $base;
        $$->args = $coordinates;
    }
    | postfix[base] LBRACKET coordinates SEMICOLON expr[outside] RBRACKET {
        $$ = build_expr(parse, EXPR_READ, @$);
        $$->base = $base;
        $$->args = $coordinates;
        $$->outside = $outside;
    };
word: NAME | STAR { $$ = (Token){.name = name_of("*")}; };

primary: NUMBER {
        $$ = build_expr(parse, EXPR_NUMBER, @$);
        $$->number = $1.number;
        $$->integer = $1.integer;
    }
    | STRING { $$ = build_expr(parse, EXPR_STRING, @$); $$->text = $1.text; }
    | NAME { $$ = build_expr(parse, EXPR_NAME, @$); $$->name = $1.name; }
    | PRIMED { $$ = build_expr(parse, EXPR_PRIMED, @$); $$->name = $1.name; }
    | COUNT LBRACKET indices RBRACKET {
        $$ = build_expr(parse, EXPR_REDUCE, @$);
        $$->name = $COUNT.name;
        $$->indices = $indices;
    }
    | LPAREN expr RPAREN { $$ = $expr; $$->at = @$; }
    | LPAREN expr[first] COMMA list_some[rest] RPAREN {
        $$ = build_expr(parse, EXPR_TUPLE, @$);
        PUSH($$->args, (Arg){NULL, $first, @first});
        for (int i = 0; i < $rest.len; i++) PUSH($$->args, $rest.at[i]);
    }
    | LBRACKET list RBRACKET { $$ = build_expr(parse, EXPR_LIST, @$); $$->args = $list; };

args: %empty { $$ = (ArgList){0}; } | args_some;
args_some: arg { $$ = (ArgList){0}; PUSH($$, $1); }
    | args_some COMMA arg { $$ = $1; PUSH($$, $3); };
arg: expr { $$ = (Arg){NULL, $expr, @$}; }
    | NAME ASSIGN expr { $$ = (Arg){$NAME.name, $expr, @$}; };
list: %empty { $$ = (ArgList){0}; } | list_some;
list_some: expr { $$ = (ArgList){0}; PUSH($$, (Arg){NULL, $1, @1}); }
    | list_some COMMA expr { $$ = $1; PUSH($$, (Arg){NULL, $3, @3}); };
coordinates: coordinate { $$ = (ArgList){0}; PUSH($$, (Arg){NULL, $1, @1}); }
    | coordinates COMMA coordinate { $$ = $1; PUSH($$, (Arg){NULL, $3, @3}); };
coordinate: expr
    | NAME DOTS { $$ = build_expr(parse, EXPR_PACK, @$); $$->name = $NAME.name; };
%%

static int yyreport_syntax_error(const yypcontext_t *context, Parse *parse) {
    bool expected[YYNTOKENS] = {0};
    const char *names[YYNTOKENS];
    yysymbol_kind_t kinds[YYNTOKENS];
    int count = yypcontext_expected_tokens(context, kinds, YYNTOKENS);
    for (int i = 0; i < count; i++) expected[kinds[i]] = true;
    bool value = expected[YYSYMBOL_NUMBER], operators = expected[YYSYMBOL_PLUS];
    count = 0;
    if (value) names[count++] = "an expression";
    for (int i = 0; i < YYNTOKENS; i++) {
        bool starts = i == YYSYMBOL_NAME || i == YYSYMBOL_PRIMED || i == YYSYMBOL_NUMBER ||
                      i == YYSYMBOL_STRING || i == YYSYMBOL_REDUCE || i == YYSYMBOL_COUNT ||
                      i == YYSYMBOL_IF || i == YYSYMBOL_NOT || i == YYSYMBOL_MINUS ||
                      i == YYSYMBOL_LPAREN || i == YYSYMBOL_LBRACKET ||
                      i == YYSYMBOL_ORDER_BY || i == YYSYMBOL_SAMPLE_WITH;
        bool goes_on = (i >= YYSYMBOL_PLUS && i <= YYSYMBOL_NE) || i == YYSYMBOL_LPAREN ||
                       i == YYSYMBOL_LBRACKET || i == YYSYMBOL_DOT || i == YYSYMBOL_ARROW ||
                       i == YYSYMBOL_AND || i == YYSYMBOL_OR || i == YYSYMBOL_WHEN ||
                       i == YYSYMBOL_ON || i == YYSYMBOL_WHERE;
        if (!expected[i] || i == YYSYMBOL_BINDING) continue;
        if ((value && starts) || (operators && goes_on)) continue;
        names[count++] = yysymbol_name((yysymbol_kind_t)i);
    }
    parse_fault(parse, names, count);
    return 0;
}
