/* SPDX-License-Identifier: MIT
 * Tokens of the text form of a unit.
 * Needs base.
 * Knows no grammar beyond names and numbers. */
#include "read.h"
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void text_fail(Reader *r, Span at, const char *message) {
    diag_error(at, "E0901", "%s", message);
    longjmp(r->fault, 1);
}

/* ---- Tokens */
static void read_quoted(Reader *r) {
    char *text = arena_alloc(r->arena, strcspn(r->at, "\n") + 1), *to = text;
    for (r->at++; *r->at && *r->at != '"' && *r->at != '\n'; r->at++) {
        if (*r->at != '\\') {
            *to++ = *r->at;
        } else if (r->at[1] == '"' || r->at[1] == '\\') {
            *to++ = *++r->at;
        } else {
            unsigned code = 0;
            for (int i = 0; i < 3 && r->at[1] >= '0' && r->at[1] <= '7'; i++)
                code = 8 * code + (unsigned)(*++r->at - '0');
            *to++ = (char)code;
        }
    }
    if (*r->at == '"')
        r->at++;
    else
        text_fail(r, r->span, "a text that does not end");
    r->text = text;
}

void text_next(Reader *r) {
    while (isspace((unsigned char)*r->at) || *r->at == '#')
        r->at += *r->at == '#' ? strcspn(r->at, "\n") : 1;
    const char *from = r->at;
    r->span = (Span){r->file, (uint32_t)(from - r->start), (uint32_t)(from - r->start) + 1};
    unsigned char c = (unsigned char)*from;
    r->mark = 0;
    if (!c) {
        r->kind = TOKEN_END;
    } else if (c == '"') {
        r->kind = TOKEN_TEXT;
        read_quoted(r);
    } else if (isalpha(c) || c == '_' || isdigit(c)) {
        r->kind = isdigit(c) ? TOKEN_NUMBER : TOKEN_WORD;
        while (isalnum((unsigned char)*r->at) || (*r->at && strchr("_.:'", *r->at)) ||
               (isdigit(c) && from[1] != 'x' && strchr("+-", *r->at) && *r->at &&
                tolower(r->at[-1]) == 'e'))
            r->at++;
        if (r->kind == TOKEN_WORD && r->at[-1] == ':' && r->at > from + 1) r->at--; /* `d0: 5` */
        r->text = arena_copy(r->arena, from, (size_t)(r->at - from));
    } else {
        r->kind = TOKEN_MARK;
        r->mark = *r->at++;
    }
    r->span.to = (uint32_t)(r->at - r->start);
}

bool text_take(Reader *r, char mark) {
    if (r->mark != mark) return false;
    text_next(r);
    return true;
}

void text_expect(Reader *r, char mark) {
    if (!text_take(r, mark)) text_fail(r, r->span, arena_printf(r->arena, "expected '%c'", mark));
}

bool text_take_word(Reader *r, const char *word) {
    if (r->kind != TOKEN_WORD || strcmp(r->text, word)) return false;
    text_next(r);
    return true;
}

void text_expect_word(Reader *r, const char *word) {
    if (!text_take_word(r, word))
        text_fail(r, r->span, arena_printf(r->arena, "expected '%s'", word));
}

Name text_name(Reader *r) {
    if (text_take(r, '-')) return NULL;
    if (r->kind != TOKEN_WORD && r->kind != TOKEN_TEXT) text_fail(r, r->span, "expected a name");
    Name name = name_of(r->text);
    text_next(r);
    return name;
}

uint64_t text_unsigned(Reader *r) {
    char *end;
    errno = 0;
    uint64_t value = r->kind == TOKEN_NUMBER ? strtoull(r->text, &end, 0) : 0;
    if (r->kind != TOKEN_NUMBER || *end || errno) text_fail(r, r->span, "expected an integer");
    text_next(r);
    return value;
}

int64_t text_integer(Reader *r) {
    bool minus = text_take(r, '-');
    Span at = r->span;
    uint64_t value = text_unsigned(r);
    if (value > (uint64_t)1 << 31) text_fail(r, at, "an integer out of range");
    return minus ? -(int64_t)value : (int64_t)value;
}

int text_int(Reader *r) {
    Span at = r->span;
    int64_t value = text_integer(r);
    if (value < -1 || value > INT32_MAX) text_fail(r, at, "an integer out of range");
    return (int)value;
}

double text_number(Reader *r) {
    bool minus = text_take(r, '-');
    double value = 0;
    char *end = NULL;
    if (r->kind == TOKEN_NUMBER)
        value = strtod(r->text, &end);
    else if (r->kind == TOKEN_WORD && (!strcmp(r->text, "inf") || !strcmp(r->text, "nan")))
        value = *r->text == 'i' ? (double)INFINITY : (double)NAN, end = (char *)"";
    if (!end || *end) text_fail(r, r->span, "expected a number");
    text_next(r);
    return minus ? -value : value;
}
