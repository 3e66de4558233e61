/* SPDX-License-Identifier: MIT
 * Diagnostics: collected one at a time with their notes and helps, printed to stderr as text with
 * the source line and a caret range, or as JSON lines. Needs arena and source.
 * Does not decide whether compilation goes on: callers ask diag_errors. */
#include "base.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_ERRORS = 20, LONGEST_LINE = 200 };

typedef enum Severity { ERROR, WARNING, NOTE, HELP } Severity;

typedef struct Message {
    Severity severity;
    Span at;
    const char *code, *text;
} Message;

typedef VEC(Message) MessageList;

static struct {
    Arena *arena;      /* what is pending and what was said */
    MessageList said;  /* to say nothing twice */
    MessageList group; /* the pending error or warning with its notes and helps */
    bool muted;        /* notes that follow belong to a diagnostic that is not printed */
    bool at_exit, colour;
    DiagFormat format;
    int errors, unprinted;
} state;

static const char *const words[] = {"error", "warning", "note", "help"};
static const char *const colours[] = {"\33[1;31m", "\33[1;35m", "\33[1;36m", "\33[1;32m"};

static void prepare(void) {
    if (state.arena) return;
    state.arena = arena_new();
    const char *term = getenv("TERM"), *no_colour = getenv("NO_COLOR");
    state.colour =
        isatty(STDERR_FILENO) && !(no_colour && *no_colour) && !(term && strcmp(term, "dumb") == 0);
    if (!state.at_exit) atexit(diag_flush);
    state.at_exit = true;
}

static const char *paint(const char *colour) {
    return state.colour ? colour : "";
}

/* Bytes that start a character: what takes a column of the terminal. */
static bool starts_character(char c) {
    return ((unsigned char)c & 0xc0) != 0x80;
}

static void print_line(const Source *source, Span at, int line, Severity severity) {
    size_t from = at.from < source->length ? at.from : source->length;
    size_t start = from, end = from;
    while (start > 0 && source->text[start - 1] != '\n')
        start--;
    while (end < source->length && source->text[end] != '\n')
        end++;
    size_t shown = end;
    while (shown > start && source->text[shown - 1] == '\r')
        shown--;
    /* Of a very long line the part around the place is enough. */
    if (from - start > LONGEST_LINE / 2 && shown - start > LONGEST_LINE)
        start = from - LONGEST_LINE / 2;
    if (shown - start > LONGEST_LINE) shown = start + LONGEST_LINE;
    while (start < from && !starts_character(source->text[start]))
        start++;
    size_t to = at.to < shown ? at.to : shown; /* a range over several lines shows its first */
    fprintf(stderr, "%5d | %.*s\n      | ", line, (int)(shown - start), source->text + start);
    for (size_t i = start; i < from; i++) {
        if (source->text[i] == '\t')
            fputc('\t', stderr);
        else if (starts_character(source->text[i]))
            fputc(' ', stderr);
    }
    fprintf(stderr, "%s^", paint(colours[severity]));
    for (size_t i = from + 1; i < to; i++) {
        if (starts_character(source->text[i])) fputc('~', stderr);
    }
    fprintf(stderr, "%s\n", paint("\33[0m"));
}

static void print_text(const Message *message) {
    const Source *source = source_get(message->at.file);
    int line, column;
    source_position(message->at, &line, &column);
    if (source)
        fprintf(stderr, "%s:%d:%d: ", source->path, line, column);
    else if (message->severity == HELP || message->severity == NOTE)
        fputs("  ", stderr);
    else
        fputs("gradus: ", stderr);
    fprintf(stderr, "%s%s:%s %s", paint(colours[message->severity]), words[message->severity],
            paint("\33[0m"), message->text);
    if (message->code) fprintf(stderr, " [%s]", message->code);
    fputc('\n', stderr);
    if (source) print_line(source, message->at, line, message->severity);
}

static void print_json_text(const char *text) {
    fputc('"', stderr);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            fprintf(stderr, "\\%c", c);
        else if (c < 0x20)
            fprintf(stderr, "\\u%04x", (unsigned)c);
        else
            fputc(c, stderr);
    }
    fputc('"', stderr);
}

/* The members of a message, without the braces: a note has the same ones as an error. */
static void print_json(const Message *message) {
    fprintf(stderr, "\"severity\":\"%s\"", words[message->severity]);
    if (message->code) fprintf(stderr, ",\"code\":\"%s\"", message->code);
    fputs(",\"message\":", stderr);
    print_json_text(message->text);
    const Source *source = source_get(message->at.file);
    if (!source) return;
    int line, column, end_line, end_column;
    source_position(message->at, &line, &column);
    source_position((Span){message->at.file, message->at.to, message->at.to}, &end_line,
                    &end_column);
    fputs(",\"file\":", stderr);
    print_json_text(source->path);
    fprintf(stderr, ",\"line\":%d,\"column\":%d,\"endLine\":%d,\"endColumn\":%d", line, column,
            end_line, end_column);
}

static void print_group(void) {
    MessageList *group = &state.group;
    if (group->len == 0) return;
    if (state.format == DIAG_TEXT) {
        for (int i = 0; i < group->len; i++)
            print_text(&group->at[i]);
    } else {
        fputc('{', stderr);
        print_json(&group->at[0]);
        fputs(",\"related\":[", stderr);
        for (int i = 1; i < group->len; i++) {
            fputs(i > 1 ? ",{" : "{", stderr);
            print_json(&group->at[i]);
            fputc('}', stderr);
        }
        fputs("]}\n", stderr);
    }
    group->len = 0;
}

static bool was_said(const Message *message) {
    for (int i = 0; i < state.said.len; i++) {
        const Message *old = &state.said.at[i];
        if (old->severity == message->severity && old->at.file == message->at.file &&
            old->at.from == message->at.from && old->at.to == message->at.to &&
            strcmp(old->text, message->text) == 0)
            return true;
    }
    return false;
}

static const char *print_args(const char *format, va_list args) {
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    if (length < 0) bug("a diagnostic that cannot be printed: %s", format);
    char *text = arena_alloc(state.arena, (size_t)length + 1);
    vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return text;
}

static void begin(Severity severity, Span at, const char *code, const char *format, va_list args) {
    prepare();
    print_group();
    Message message = {severity, at, code, print_args(format, args)};
    state.muted = was_said(&message);
    if (state.muted) return;
    VEC_PUSH(state.arena, state.said, message);
    if (severity == ERROR && ++state.errors > MOST_ERRORS) {
        state.unprinted++;
        state.muted = true;
        return;
    }
    VEC_PUSH(state.arena, state.group, message);
}

static void add(Severity severity, Span at, const char *format, va_list args) {
    if (state.muted || state.group.len == 0) return;
    VEC_PUSH(state.arena, state.group, ((Message){severity, at, NULL, print_args(format, args)}));
}

/** Chooses text (the default) or JSON lines. */
void diag_format(DiagFormat format) {
    state.format = format;
}

/** A fault of the user's at a place; the same fault at the same place is told once. */
void diag_error(Span at, const char *code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    begin(ERROR, at, code, format, args);
    va_end(args);
}

/** Something that is probably not meant; does not count as an error. */
void diag_warning(Span at, const char *code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    begin(WARNING, at, code, format, args);
    va_end(args);
}

/** More about the diagnostic before it, with a place of its own (or file 0). */
void diag_note(Span at, const char *format, ...) {
    va_list args;
    va_start(args, format);
    add(NOTE, at, format, args);
    va_end(args);
}

/** What to write instead, for the diagnostic before it. */
void diag_help(const char *format, ...) {
    va_list args;
    va_start(args, format);
    add(HELP, (Span){0}, format, args);
    va_end(args);
}

/** The number of errors so far, printed or not. */
int diag_errors(void) {
    return state.errors;
}

/** What the first error says, without its place; NULL where there is none. */
const char *diag_first(void) {
    for (int i = 0; i < state.said.len; i++)
        if (state.said.at[i].severity == ERROR) return state.said.at[i].text;
    return NULL;
}

/** Prints what is pending, and how many errors were left out. */
void diag_flush(void) {
    print_group();
    if (state.unprinted && state.format == DIAG_TEXT) {
        fprintf(stderr, "gradus: %d more error%s not shown\n", state.unprinted,
                state.unprinted == 1 ? "" : "s");
    }
    state.unprinted = 0;
    fflush(stderr);
}

/** Forgets everything that was said: what follows stands for itself. */
void diag_reset(void) {
    arena_free(state.arena);
    bool at_exit = state.at_exit;
    DiagFormat format = state.format;
    memset(&state, 0, sizeof state);
    state.at_exit = at_exit;
    state.format = format;
}

/** Our own fault: prints it and ends the process with a core dump where those are allowed. */
_Noreturn void bug(const char *format, ...) {
    diag_flush();
    va_list args;
    va_start(args, format);
    fputs("gradus: internal error: ", stderr);
    vfprintf(stderr, format, args);
    fputs("\nThis is a fault of the compiler, not of the program; please report it.\n", stderr);
    va_end(args);
    abort();
}
