/* SPDX-License-Identifier: MIT
 * Strict JSON: no comments, no trailing commas, no repeated names, valid escapes only.
 * Needs io.h. Numbers are doubles; strings must not hold U+0000. */
#include "json.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 32 };

typedef struct Reader {
    const char *start, *at, *end;
    Fault *fault;
} Reader;

static bool wrong(Reader *reader, const char *what) {
    return fault_set(reader->fault, GR_BAD_DATA, "JSON is malformed at byte %lld: %s",
                     (long long)(reader->at - reader->start), what);
}

static void skip_spaces(Reader *reader) {
    while (reader->at < reader->end && *reader->at && strchr(" \t\r\n", *reader->at))
        reader->at++;
}

static bool take(Reader *reader, char c) {
    skip_spaces(reader);
    if (reader->at == reader->end || *reader->at != c) return false;
    reader->at++;
    return true;
}

static int hex4(Reader *reader) {
    int value = 0;
    for (int i = 0; i < 4; i++, reader->at++) {
        if (reader->at == reader->end) return -1;
        char c = *reader->at;
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

static char *put_utf8(char *to, int code) {
    if (code < 0x80) {
        *to++ = (char)code;
    } else if (code < 0x800) {
        *to++ = (char)(0xC0 | code >> 6);
        *to++ = (char)(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        *to++ = (char)(0xE0 | code >> 12);
        *to++ = (char)(0x80 | (code >> 6 & 0x3F));
        *to++ = (char)(0x80 | (code & 0x3F));
    } else {
        *to++ = (char)(0xF0 | code >> 18);
        *to++ = (char)(0x80 | (code >> 12 & 0x3F));
        *to++ = (char)(0x80 | (code >> 6 & 0x3F));
        *to++ = (char)(0x80 | (code & 0x3F));
    }
    return to;
}

static bool take_escape(Reader *reader, char **to) {
    static const char plain[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    if (reader->at == reader->end) return wrong(reader, "a string does not end");
    char c = *reader->at++;
    const char *found = c ? strchr(plain, c) : NULL;
    if (found) {
        *(*to)++ = meant[found - plain];
        return true;
    }
    if (c != 'u') return wrong(reader, "unknown escape");
    int code = hex4(reader);
    if (code >= 0xD800 && code < 0xDC00) {
        if (reader->end - reader->at < 6 || reader->at[0] != '\\' || reader->at[1] != 'u')
            return wrong(reader, "half of a surrogate pair");
        reader->at += 2;
        int low = hex4(reader);
        if (low < 0xDC00 || low > 0xDFFF) return wrong(reader, "half of a surrogate pair");
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    } else if (code >= 0xDC00 && code < 0xE000) {
        return wrong(reader, "half of a surrogate pair");
    }
    if (code <= 0) return wrong(reader, "bad \\u escape");
    *to = put_utf8(*to, code);
    return true;
}

static bool read_string(Reader *reader, char **text) {
    if (!take(reader, '"')) return wrong(reader, "a string is wanted");
    const char *end = reader->at;
    while (end < reader->end && *end != '"')
        end += *end == '\\' ? 2 : 1;
    if (end >= reader->end) return wrong(reader, "a string does not end");
    char *to = *text = io_alloc((size_t)(end - reader->at) + 1, 1); /* never grows by escapes */
    while (*reader->at != '"') {
        unsigned char c = (unsigned char)*reader->at++;
        if (c == '\\') {
            if (!take_escape(reader, &to)) return false;
        } else if (c < 0x20) {
            return wrong(reader, "a control character in a string");
        } else {
            *to++ = (char)c;
        }
    }
    reader->at++;
    return true;
}

static bool read_number(Reader *reader, double *number) {
    const char *from = reader->at, *at = from, *end = reader->end;
    if (at < end && *at == '-') at++;
    const char *digits = at;
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    if (at == digits || (*digits == '0' && at > digits + 1)) return wrong(reader, "bad number");
    if (at < end && *at == '.') {
        const char *fraction = ++at;
        while (at < end && *at >= '0' && *at <= '9')
            at++;
        if (at == fraction) return wrong(reader, "bad number");
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-')) at++;
        while (at < end && *at >= '0' && *at <= '9')
            at++;
    }
    reader->at = at;
    if (!number_parse(from, (size_t)(at - from), number)) return wrong(reader, "bad number");
    return true;
}

static bool read_value(Reader *reader, Json *json, int depth);

static bool grow(Json *json) {
    size_t count = (size_t)json->count + 1;
    if (count & (count - 1)) return true; /* room is the next power of two */
    Json *items = realloc(json->items, 2 * count * sizeof *items);
    if (items) json->items = items;
    if (items && json->kind == JSON_OBJECT) {
        char **names = realloc(json->names, 2 * count * sizeof *names);
        if (names) json->names = names;
        return names;
    }
    return items;
}

static bool read_items(Reader *reader, Json *json, char close, int depth) {
    reader->at++;
    if (take(reader, close)) return true;
    do {
        if (!grow(json)) return wrong(reader, "out of memory");
        Json *item = &json->items[json->count];
        *item = (Json){0};
        if (json->kind == JSON_OBJECT) json->names[json->count] = NULL;
        json->count++;
        if (json->kind == JSON_OBJECT) {
            char **name = &json->names[json->count - 1];
            if (!read_string(reader, name)) return false;
            if (!take(reader, ':')) return wrong(reader, "':' is wanted");
        }
        if (!read_value(reader, item, depth + 1)) return false;
    } while (take(reader, ','));
    return take(reader, close) || wrong(reader, "',' or the closing bracket is wanted");
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool check_names(Reader *reader, const Json *json) {
    char **sorted = io_alloc((size_t)json->count, sizeof *sorted);
    if (json->count) memcpy(sorted, json->names, (size_t)json->count * sizeof *sorted);
    qsort(sorted, (size_t)json->count, sizeof *sorted, compare_names);
    bool ok = true;
    for (int i = 1; i < json->count && ok; i++)
        if (!strcmp(sorted[i], sorted[i - 1])) ok = wrong(reader, "a name stands twice");
    free(sorted);
    return ok;
}

static bool read_value(Reader *reader, Json *json, int depth) {
    static const struct {
        const char *text;
        JsonKind kind;
    } words[] = {{"null", JSON_NULL}, {"true", JSON_TRUE}, {"false", JSON_FALSE}};
    if (depth > DEEPEST) return wrong(reader, "nested too deeply");
    skip_spaces(reader);
    if (reader->at == reader->end) return wrong(reader, "it ends early");
    char c = *reader->at;
    if (c == '{') {
        json->kind = JSON_OBJECT;
        return read_items(reader, json, '}', depth) && check_names(reader, json);
    }
    if (c == '[') {
        json->kind = JSON_ARRAY;
        return read_items(reader, json, ']', depth);
    }
    if (c == '"') {
        json->kind = JSON_STRING;
        return read_string(reader, &json->text);
    }
    if (c == '-' || (c >= '0' && c <= '9')) {
        json->kind = JSON_NUMBER;
        return read_number(reader, &json->number);
    }
    for (int i = 0; i < 3; i++) {
        size_t size = strlen(words[i].text);
        if ((size_t)(reader->end - reader->at) < size ||
            strncmp(reader->at, words[i].text, size) != 0)
            continue;
        json->kind = words[i].kind;
        reader->at += size;
        return true;
    }
    return wrong(reader, "no value begins like this");
}

bool json_read(const char *text, size_t size, Json *json, Fault *fault) {
    Reader reader = {text, text, text + size, fault};
    *json = (Json){0};
    bool ok = read_value(&reader, json, 0);
    if (ok) {
        skip_spaces(&reader);
        if (reader.at != reader.end) ok = wrong(&reader, "something follows the value");
    }
    if (!ok) json_free(json);
    return ok;
}

void json_free(Json *json) {
    for (int i = 0; i < json->count; i++) {
        json_free(&json->items[i]);
        if (json->kind == JSON_OBJECT) free(json->names[i]);
    }
    free(json->items);
    free(json->names);
    free(json->text);
    *json = (Json){0};
}

const Json *json_member(const Json *object, const char *name) {
    for (int i = 0; object->kind == JSON_OBJECT && i < object->count; i++)
        if (!strcmp(object->names[i], name)) return &object->items[i];
    return NULL;
}

bool json_whole(const Json *json, int64_t *value) {
    if (!json || json->kind != JSON_NUMBER || json->number < 0 || json->number > 0x1p53 ||
        json->number != floor(json->number))
        return false;
    *value = (int64_t)json->number;
    return true;
}

void json_quote(FILE *out, const char *text) {
    fputc('"', out);
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        if (*at == '"' || *at == '\\')
            fprintf(out, "\\%c", *at);
        else if (*at < 0x20)
            fprintf(out, "\\u%04x", *at);
        else
            fputc(*at, out);
    }
    fputc('"', out);
}
