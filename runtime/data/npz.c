/* SPDX-License-Identifier: MIT
 * Archives of NumPy arrays: a zip file (APPNOTE 6.3.9, 4.3) whose members NAME.npy are stored or
 * deflated. Needs npy.h. Unpacks what is bound, no more; reads no encrypted or split archives. */
#include "npy.h"
#include <stdlib.h>
#include <string.h>

typedef struct Member {
    char *name; /* without .npy */
    int method, flags;
    uint64_t packed, size, from; /* from: where its local header begins */
    uint32_t crc;
} Member;

typedef struct Archive {
    const DataFile *file;
    Member *members;
    char **names; /* of the members, in order: for messages */
    int count;
    Fault *fault;
} Archive;

enum {
    END = 0x06054b50,
    END_64 = 0x06064b50,
    FIND_64 = 0x07064b50,
    ENTRY = 0x02014b50,
    LOCAL = 0x04034b50
};

/* A number of so many bytes, the low one first; the bytes are there. */
static uint64_t number(const unsigned char *at, int bytes) {
    uint64_t value = 0;
    for (int i = bytes; i-- > 0;)
        value = value << 8 | at[i];
    return value;
}

static bool there(const DataFile *file, uint64_t from, uint64_t size) {
    return from <= file->size && size <= file->size - from;
}

static bool damaged(const Archive *archive, const char *how) {
    return fault_set(archive->fault, GR_BAD_DATA, "%s: the archive is damaged: %s; fetch it again",
                     archive->file->name, how);
}

/* The record at the end says where the list of members is. */
static bool find_list(const Archive *archive, uint64_t *from, uint64_t *count) {
    const DataFile *file = archive->file;
    const unsigned char *bytes = file->bytes;
    enum { SIZE = 22, SIZE_64 = 56, SIZE_FIND = 20 };
    size_t at = file->size;
    if (at < SIZE)
        return fault_set(archive->fault, GR_BAD_DATA,
                         "%s: is no zip archive; write it with numpy.savez", file->name);
    for (at -= SIZE;
         number(bytes + at, 4) != END || number(bytes + at + 20, 2) != file->size - at - SIZE;)
        if (!at-- || file->size - at > SIZE + 0xffff)
            return fault_set(archive->fault, GR_BAD_DATA,
                             "%s: has no list of members at its end: it is no zip archive, or "
                             "truncated",
                             file->name);
    *count = number(bytes + at + 10, 2);
    *from = number(bytes + at + 16, 4);
    if (*from != 0xffffffff && *count != 0xffff) return true;
    if (at < SIZE_FIND || number(bytes + at - SIZE_FIND, 4) != FIND_64)
        return true; /* so many, as it stands */
    uint64_t end = number(bytes + at - SIZE_FIND + 8, 8);
    if (!there(file, end, SIZE_64) || number(bytes + end, 4) != END_64)
        return damaged(archive, "its end is not where it says");
    *count = number(bytes + end + 32, 8);
    *from = number(bytes + end + 48, 8);
    return true;
}

/* Sizes that do not fit 32 bits stand in an extra field, those alone and in this order. */
static bool wide_sizes(const Archive *archive, Member *member, const unsigned char *at,
                       size_t size) {
    uint64_t *wide[] = {&member->size, &member->packed, &member->from};
    for (size_t next = 0; next + 4 <= size;) {
        const unsigned char *field = at + next;
        size_t length = (size_t)number(field + 2, 2), used = 4;
        if (length > size - next - 4) return damaged(archive, "a field of a member ends early");
        for (int i = 0; i < 3 && number(field, 2) == 1; i++) {
            if (*wide[i] != 0xffffffff) continue;
            if (used + 8 > length + 4) return damaged(archive, "a size of a member is missing");
            *wide[i] = number(field + used, 8);
            used += 8;
        }
        next += 4 + length;
    }
    return true;
}

static bool read_list(Archive *archive) {
    const DataFile *file = archive->file;
    uint64_t at = 0, count = 0;
    if (!find_list(archive, &at, &count)) return false;
    for (uint64_t i = 0; i < count; i++) {
        enum { SIZE = 46 };
        if (!there(file, at, SIZE) || number(file->bytes + at, 4) != ENTRY)
            return damaged(archive, "its list of members is not where it says");
        const unsigned char *entry = file->bytes + at;
        size_t name = (size_t)number(entry + 28, 2), extra = (size_t)number(entry + 30, 2),
               comment = (size_t)number(entry + 32, 2);
        if (!there(file, at + SIZE, name + extra + comment))
            return damaged(archive, "its list of members ends early");
        Member member = {.flags = (int)number(entry + 8, 2),
                         .method = (int)number(entry + 10, 2),
                         .crc = (uint32_t)number(entry + 16, 4),
                         .packed = number(entry + 20, 4),
                         .size = number(entry + 24, 4),
                         .from = number(entry + 42, 4)};
        if (!wide_sizes(archive, &member, entry + SIZE + name, extra)) return false;
        at += SIZE + name + extra + comment;
        const char *text = (const char *)entry + SIZE;
        if (name < 4 || memcmp(text + name - 4, ".npy", 4) != 0) continue; /* no array */
        member.name = io_format("%.*s", (int)name - 4, text);
        archive->members = io_more(archive->members, sizeof member * (size_t)(archive->count + 1));
        archive->names = io_more(archive->names, sizeof member.name * (size_t)(archive->count + 1));
        archive->names[archive->count] = member.name;
        archive->members[archive->count++] = member;
    }
    return true;
}

/* The member's bytes, unpacked, as a field of `data`; NULL after a fault. */
static DataField *read_member(const Archive *archive, const Member *member, FieldRole role,
                              Data *data) {
    const DataFile *file = archive->file;
    char *name = data_own(data, io_format("%s: array '%s'", file->name, member->name));
    uint64_t from = member->from;
    enum { SIZE = 30 };
    if (member->flags & 1) {
        fault_set(archive->fault, GR_BAD_DATA, "%s: is encrypted; save it without a password",
                  name);
        return NULL;
    }
    if (!there(file, from, SIZE) || number(file->bytes + from, 4) != LOCAL) {
        damaged(archive, "a member is not where it says");
        return NULL;
    }
    from += SIZE + number(file->bytes + from + 26, 2) + number(file->bytes + from + 28, 2);
    if (!there(file, from, member->packed)) {
        damaged(archive, "a member reaches over its end");
        return NULL;
    }
    NpyArray array = {.name = name, .size = (size_t)member->size};
    array.bytes = io_unzip(name, file->bytes + from, (size_t)member->packed, member->method,
                           array.size, member->crc, archive->fault);
    if (!array.bytes) return NULL;
    data_own(data, array.bytes);
    if (!npy_header(&array, archive->fault)) return NULL;
    if (role == FIELD_INPUT) data->input_text = data_shape(array.extent + 1, array.rank - 1);
    return npy_field(data, &array, role, archive->fault);
}

static bool read_bound(const Archive *archive, const GrSource *source, bool targets, Data *data,
                       bool *used) {
    for (int i = 0; i < source->ncolumns; i++) {
        const GrColumn *wanted = &source->columns[i];
        int found = -1;
        for (int m = 0; m < archive->count; m++)
            if (!strcmp(archive->names[m], wanted->column)) found = m;
        if (found < 0 && !targets) continue;
        if (found < 0)
            return data_not_there(data, "array", wanted, (const char *const *)archive->names,
                                  archive->count, archive->fault);
        used[found] = true;
        DataField *field = read_member(archive, &archive->members[found], FIELD_COLUMN, data);
        if (!field) return false;
        field->bound = wanted->name;
        field->column = wanted->column;
    }
    return true;
}

/* The one array that no name binds is the input; of several nobody knows which. */
static bool read_input(const Archive *archive, bool targets, Data *data, const bool *used) {
    int found = -1, count = 0;
    char *all = io_format("%s", "");
    for (int m = 0; m < archive->count; m++) {
        if (used[m]) continue;
        char *more = io_format("%s%s%s", all, count++ ? ", " : "", archive->names[m]);
        free(all);
        all = more;
        found = m;
    }
    if (count > 1 && targets)
        data->no_input = io_format("several arrays are bound to no name (%s): say which, "
                                   "NAME = \"%s\"",
                                   all, archive->names[found]);
    else if (count > 1)
        data->no_input = io_format("several arrays have no name that the training's data bind (%s): "
                                   "leave the input alone, or name it as there",
                                   all);
    free(all);
    if (count == 1) return read_member(archive, &archive->members[found], FIELD_INPUT, data);
    if (data->count) return true;
    return fault_set(archive->fault, GR_BAD_DATA, "%s: %s", archive->file->name,
                     count ? data->no_input : "holds no arrays: no member is called NAME.npy");
}

bool npz_fits(const DataFile *file) {
    return file->size >= 22 && (number(file->bytes, 4) == LOCAL || number(file->bytes, 4) == END);
}

bool npz_read(const GrSource *source, bool targets, Data *data, Fault *fault) {
    Archive archive = {.file = &data->files[0], .fault = fault};
    bool fine = read_list(&archive);
    bool *used = io_alloc((size_t)archive.count, sizeof *used);
    fine = fine && read_bound(&archive, source, targets, data, used) &&
           read_input(&archive, targets, data, used);
    for (int i = 0; i < archive.count; i++)
        free(archive.names[i]);
    free(archive.names);
    free(archive.members);
    free(used);
    if (fine) {
        free(data->files[0].bytes); /* what is wanted of them is unpacked */
        data->files[0].bytes = NULL;
    }
    return fine;
}
