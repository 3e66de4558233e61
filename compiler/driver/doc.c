/* SPDX-License-Identifier: MIT
 * `gradus doc` and `gradus explain`: what the library, the data formats and the table of codes say of
 * themselves. Needs front, ir and base. Holds no text of its own about any def. */
#include "driver.h"
#include <string.h>

/* The declaration as it is written, up to the parenthesis that closes its header. */
static const char *signature_of(Arena *arena, const Decl *decl) {
    const Source *source = source_get(decl->at.file);
    if (!source || decl->at.from >= source->length) return decl->name ? decl->name : "";
    size_t from = decl->at.from, to = from;
    int depth = 0;
    for (; to < source->length; to++) {
        char c = source->text[to];
        depth += c == '(' ? 1 : c == ')' ? -1 : 0;
        if (c == ')' && depth == 0) {
            to++;
            break;
        }
        if (depth == 0 && (c == '\n' || c == '=' || c == '{')) break;
    }
    char *text = arena_copy(arena, source->text + from, to - from);
    size_t used = 0; /* a header over several lines becomes one */
    for (size_t i = 0; text[i]; i++) {
        bool blank = text[i] == ' ' || text[i] == '\n' || text[i] == '\t';
        if (!blank)
            text[used++] = text[i];
        else if (used > 0 && text[used - 1] != ' ')
            text[used++] = ' ';
    }
    text[used] = '\0';
    return text;
}

static bool documented(const Decl *decl) {
    return decl->name && (decl->kind == DECL_DEF || decl->kind == DECL_MODEL);
}

/* What a file holds, from the comment at its head: "Losses of an output y against its target t". */
static const char *title_of(Arena *arena, const Source *source) {
    const char *at = source ? source->text : "";
    while (at[0] == '#' && at[1] != '#') {
        const char *text = at + 1 + strspn(at + 1, " ");
        size_t length = strcspn(text, "\n");
        if (strncmp(text, "SPDX", 4) != 0) {
            size_t end = strcspn(text, ":.\n");
            return arena_copy(arena, text, end);
        }
        at = text + length + (text[length] == '\n');
    }
    return NULL;
}

/* The def as it stands in its file: its line, and those that follow up to one that is no part of
 * it. */
static void source_show(const Decl *decl) {
    const Source *source = source_get(decl->at.file);
    if (!source || decl->at.from >= source->length) return;
    const char *at = source->text + decl->at.from;
    while (at > source->text && at[-1] != '\n')
        at--;
    bool block = false;
    for (int line = 0; *at; line++) {
        size_t length = strcspn(at, "\n");
        bool inside = line == 0 || at[0] == ' ' || at[0] == '\t' || (block && length == 0);
        if (!inside && at[0] != '}') break;
        printf("    %.*s\n", (int)length, at);
        block = length > 0 ? at[length - 1] == '{' || (block && at[0] != '}') : block;
        if (at[0] == '}') break;
        at += length + (at[length] == '\n');
    }
}

static void doc_list(Arena *arena, const Module *module) {
    uint32_t file = 0;
    for (int i = 0; i < module->decls.len; i++) {
        const Decl *decl = module->decls.at[i];
        if (!documented(decl)) continue;
        if (decl->at.file != file) {
            const Source *source = source_get(decl->at.file);
            const char *title = title_of(arena, source), *path = source ? source->path : "";
            printf(title ? "%s%s (%s)\n" : "%s%s%s\n", file ? "\n" : "", title ? title : "", path);
            file = decl->at.file;
        }
        const char *doc = decl->doc ? decl->doc : "";
        printf("  %-46s %.*s\n", signature_of(arena, decl), (int)strcspn(doc, "\n"), doc);
    }
}

static void lines_show(const char *text) {
    for (const char *p = text ? text : ""; *p;) {
        size_t length = strcspn(p, "\n");
        printf("    %.*s\n", (int)length, p);
        p += length + (p[length] == '\n');
    }
}

static void formats_list(void) {
    printf("\nFormats of data files\n");
    for (int i = 0; i < format_count; i++) {
        const char *doc = format_table[i].doc;
        printf("  %-46s %.*s\n", format_table[i].name, (int)strcspn(doc, "\n"), doc);
    }
}

static void format_show(const DataFormat *format) {
    printf("format %s\n", format->use);
    lines_show(format->doc);
}

static const char *kind_text(const Decl *decl) {
    return decl->kind == DECL_MODEL ? "model" : "def";
}

static void doc_show(Arena *arena, const Decl *decl) {
    const Source *source = source_get(decl->at.file);
    int line = 0, column = 0;
    source_position(decl->at, &line, &column);
    printf("%s %s\n", kind_text(decl), signature_of(arena, decl));
    lines_show(decl->doc);
    printf("\n");
    source_show(decl);
    printf("\n(%s:%d)\n", source ? source->path : "", line);
}

int verb_doc(Arena *arena, const Options *options) {
    const Module *module;
    if (options->nfiles > 1) {
        if (!file_check(options->files[1])) return EXIT_DIAGNOSED;
        module = module_load(arena, options->files[1]);
    } else {
        module = module_load_text(arena, "doc", "");
    }
    if (!module) return EXIT_DIAGNOSED;
    if (options->table) return techniques_print(arena, module);
    if (options->nfiles == 0) {
        doc_list(arena, module);
        formats_list();
        return EXIT_OK;
    }
    const char *name = options->files[0];
    const Decl *found = NULL;
    Name *names = NEW_ARRAY(arena, Name, module->decls.len + format_count);
    size_t count = 0;
    for (int i = 0; i < format_count; i++)
        names[count++] = name_of(format_table[i].name);
    for (int i = 0; i < module->decls.len; i++) { /* the last one wins, as in a program */
        const Decl *decl = module->decls.at[i];
        if (!documented(decl)) continue;
        names[count++] = decl->name;
        if (!strcmp(decl->name, name)) found = decl;
    }
    if (found) {
        doc_show(arena, found);
        return EXIT_OK;
    }
    if (format_find(name)) {
        format_show(format_find(name));
        return EXIT_OK;
    }
    Name near = name_nearest(name_of(name), names, count);
    diag_error((Span){0}, "E0716", "nothing is called '%s'", name);
    if (near)
        diag_help("did you mean '%s'?", near);
    else
        diag_help("`gradus doc` lists the library");
    return EXIT_DIAGNOSED;
}

int verb_explain(Arena *arena, const Options *options) {
    if (options->nfiles == 0) {
        for (int i = 0; i < 20000; i++) {
            const char *code = arena_printf(arena, "%c%04d", i < 10000 ? 'E' : 'W', i % 10000);
            const char *text = diag_explain(code);
            if (text) printf("%.*s\n", (int)strcspn(text, "\n"), text);
        }
        return EXIT_OK;
    }
    const char *text = diag_explain(options->files[0]);
    if (text) {
        printf("%s%s", text, text[0] && text[strlen(text) - 1] == '\n' ? "" : "\n");
        return EXIT_OK;
    }
    fprintf(stderr, "gradus explain: there is no code '%s' (`gradus explain` lists them)\n",
            options->files[0]);
    return EXIT_USAGE;
}
