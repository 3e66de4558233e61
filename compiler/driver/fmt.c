/* SPDX-License-Identifier: MIT
 * `gradus fmt`: indentation by nesting, one blank line at most, no blanks at line ends.
 * Needs the stages, to refuse what does not parse. Joins, breaks and reorders no line. */
#include "driver.h"
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct Layout { /* what the lines before this one have left */
    int braces, brackets;
    int statement; /* column where the statement in hand was written */
    bool open;     /* the last line of code asks for more */
} Layout;

static bool starts_with_word(const char *line, size_t length, const char *word) {
    size_t n = strlen(word);
    return length >= n && !strncmp(line, word, n) &&
           (length == n || (!isalnum((unsigned char)line[n]) && line[n] != '_'));
}

/* Lines that go on with the statement before them: language.md, 18. */
static bool continues(const char *line, size_t length) {
    static const char *const words[] = {"where", "then", "else", "and", "or"};
    if (length >= 2 && line[0] == '-' && line[1] == '>') return true;
    for (int i = 0; i < LENGTH(words); i++)
        if (starts_with_word(line, length, words[i])) return true;
    return false;
}

/* Follows the brackets of a line; gives how much of it is code (before a comment). */
static size_t follow(Layout *layout, const char *line, size_t length) {
    bool string = false;
    size_t code = 0;
    for (size_t i = 0; i < length; i++) {
        char c = line[i];
        if (!string && c == '#') break;
        if (string && c == '\\')
            i++;
        else if (c == '"')
            string = !string;
        else if (!string)
            switch (c) {
            case '{':
                layout->braces++;
                break;
            case '}':
                layout->braces -= layout->braces > 0;
                break;
            case '(':
            case '[':
                layout->brackets++;
                break;
            case ')':
            case ']':
                layout->brackets -= layout->brackets > 0;
                break;
            default:
                break;
            }
        if (c != ' ' && c != '\t') code = i + 1;
    }
    return code < length ? code : length;
}

static bool asks_for_more(const char *line, size_t code) {
    if (code == 0) return false;
    if (strchr("+-*/%^=,<>", line[code - 1])) return true;
    return (code >= 4 && !strncmp(line + code - 4, " and", 4)) ||
           (code >= 3 && !strncmp(line + code - 3, " or", 3));
}

static void line_write(FILE *out, Layout *layout, const char *line, size_t length, int written_at) {
    bool closing = line[0] == '}';
    int depth = layout->braces - (closing && layout->braces > 0);
    bool more = !closing && (layout->brackets > 0 || layout->open || continues(line, length));
    int extra = more && written_at > layout->statement ? written_at - layout->statement : 0;
    fprintf(out, "%*s%.*s\n", 2 * depth + extra, "", (int)length, line);
    if (!more && line[0] != '#') layout->statement = written_at;
    size_t code = follow(layout, line, length);
    if (code > 0) layout->open = asks_for_more(line, code);
}

static void text_write(FILE *out, const char *text) {
    Layout layout = {0};
    bool blank = false, any = false;
    while (*text) {
        size_t length = strcspn(text, "\n"), from = 0, to = length;
        int column = 0;
        for (; from < to && (text[from] == ' ' || text[from] == '\t'); from++)
            column += text[from] == '\t' ? 2 - column % 2 : 1;
        while (to > from && isspace((unsigned char)text[to - 1]))
            to--;
        if (from == to) {
            blank = any;
        } else {
            if (blank) fputc('\n', out);
            line_write(out, &layout, text + from, to - from, column);
            blank = false;
            any = true;
        }
        text += length + (text[length] == '\n');
    }
}

static bool replace(Arena *arena, const char *path, const char *text, size_t length) {
    char *temporary = arena_printf(arena, "%s.XXXXXX", path);
    struct stat info;
    int file = mkstemp(temporary);
    bool fine = file >= 0 && stat(path, &info) == 0 && fchmod(file, info.st_mode & 0777) == 0 &&
                write(file, text, length) == (ssize_t)length && fsync(file) == 0;
    int fault = errno;
    if (file >= 0) fine = close(file) == 0 && fine;
    if (fine && rename(temporary, path) == 0) return true;
    diag_error((Span){0}, "E0703", "cannot write '%s': %s", path, strerror(fine ? errno : fault));
    if (file >= 0) unlink(temporary);
    return false;
}

static int format_file(Arena *arena, const Options *options, const char *path) {
    Work work = {.arena = arena, .options = options, .path = path};
    size_t length, formatted_length = 0;
    const char *text = file_read(arena, path, &length);
    if (!text || !stages_run(&work, STAGE_LOAD)) return EXIT_DIAGNOSED;
    char *formatted = NULL;
    FILE *out = open_memstream(&formatted, &formatted_length);
    if (!out) bug("no memory to format '%s'", path);
    text_write(out, text);
    fclose(out);
    bool same = formatted_length == length && !memcmp(formatted, text, length);
    int status = EXIT_OK;
    if (!same && options->check) {
        printf("%s\n", path);
        status = EXIT_MISMATCH;
    } else if (!same && !replace(arena, path, formatted, formatted_length)) {
        status = EXIT_DIAGNOSED;
    }
    free(formatted);
    return status;
}

int verb_fmt(Arena *arena, const Options *options) {
    int status = EXIT_OK;
    for (int i = 0; i < options->nfiles && status != EXIT_DIAGNOSED; i++) {
        int one = format_file(arena, options, options->files[i]);
        status = one == EXIT_OK ? status : one;
    }
    return status;
}
