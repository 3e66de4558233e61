/* SPDX-License-Identifier: MIT
 * A small strict JSON reader (RFC 8259) for the header of a weights file. Needs io.h.
 * No streaming; depth is bounded. */
#ifndef GRADUS_JSON_H
#define GRADUS_JSON_H
#include "io.h"

typedef enum JsonKind {
    JSON_NULL,
    JSON_TRUE,
    JSON_FALSE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
} JsonKind;
typedef struct Json {
    JsonKind kind;
    double number;
    char *text;         /* STRING: zero-terminated; holds no zero itself */
    struct Json *items; /* ARRAY, OBJECT */
    char **names;       /* OBJECT: as many, distinct */
    int count;
} Json;
/* The whole of text[0, size); trailing spaces are allowed. On a fault nothing is left behind. */
bool json_read(const char *text, size_t size, Json *json, Fault *fault);
void json_free(Json *json);
const Json *json_member(const Json *object, const char *name); /* NULL where absent */
/* A whole number from 0 to 2^53; false for anything else. */
bool json_whole(const Json *json, int64_t *value);
/* `text` as a JSON string with its quotes. */
void json_quote(FILE *out, const char *text);
#endif
