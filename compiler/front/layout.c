/* SPDX-License-Identifier: MIT
 * The layout of a text: indentation by nesting, one blank line at most, no blanks at line ends.
 * Needs nothing of the tree: the text parses. Joins, breaks and reorders no line. */
#include "ast.h"
#include <ctype.h>
#include <string.h>

typedef struct Layout { /* what the lines before this one have left */
    int braces, brackets;
    int statement; /* column where the statement in hand was written, */
    int depth;     /* and how deep its line stands */
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
    int extra = more ? written_at - layout->statement - 2 * (depth - layout->depth) : 0;
    fprintf(out, "%*s%.*s\n", 2 * depth + (extra > 0 ? extra : 0), "", (int)length, line);
    if (!more && line[0] != '#') layout->statement = written_at, layout->depth = depth;
    size_t code = follow(layout, line, length);
    if (code > 0) layout->open = asks_for_more(line, code);
}

void layout_print(FILE *out, const char *text) {
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
