/* SPDX-License-Identifier: MIT
 * The reader of the text form: its state, tokens and levels.
 * Needs ir.h. Private to this folder. */
#ifndef GRADUS_READ_H
#define GRADUS_READ_H
#include "ir.h"
#include <setjmp.h>

typedef enum TokenKind { TOKEN_END, TOKEN_WORD, TOKEN_NUMBER, TOKEN_TEXT, TOKEN_MARK } TokenKind;
typedef struct Reader {
    Arena *arena;
    Unit *unit;
    Graph *g;
    const char *start, *at;
    uint32_t file;
    TokenKind kind; /* the token in hand */
    const char *text;
    char mark;
    Span span;
    NodeList nodes;             /* by number */
    VEC(const Scalar *) labels; /* $1, $2 … of the current node */
    int dims, depth;            /* dimensions bound in the current node; nesting */
    jmp_buf fault;
} Reader;

/* Diagnoses and leaves the reading. */
_Noreturn void text_fail(Reader *r, Span at, const char *message);
void text_next(Reader *r); /* the next token comes to hand */
/* Each text_take… goes on only where the token is the one meant; text_expect… fails where it is
 * not. */
bool text_take(Reader *r, char mark);
bool text_take_word(Reader *r, const char *word);
void text_expect(Reader *r, char mark);
void text_expect_word(Reader *r, const char *word);
Name text_name(Reader *r); /* plain or quoted; `-` is none (NULL) */
uint64_t text_unsigned(Reader *r);
int64_t
text_integer(Reader *r); /* within 2^31, so that sums and products of forms cannot overflow */
int text_int(Reader *r);
double text_number(Reader *r);

/* read_scalar.c */
Node *text_node_number(Reader *r); /* of a node that was read before */
const Scalar *text_scalar(Reader *r);
/* read_node.c */
void text_node(Reader *r);
#endif
