/* SPDX-License-Identifier: MIT
 * The graph's interning tables.
 * Needs base and ir.h.
 * Does not make nodes (node.c), order them (scan.c) or check them (verify.c). */
#include "intern.h"
#include <string.h>

#ifdef NDEBUG
enum { FIRST_SIZE = 1024 };
#else
enum { FIRST_SIZE = 4 }; /* so that growth always runs in test builds */
#endif

void *table_find(const Table *table, const void *key, Same *same) {
    if (!table->size) return NULL;
    uint32_t mask = table->size - 1, hash = ((const Interned *)key)->hash;
    for (uint32_t i = hash & mask; table->slot[i]; i = (i + 1) & mask)
        if (table->slot[i]->hash == hash && same(table->slot[i], key)) return table->slot[i];
    return NULL;
}

static void insert(Table *table, Interned *thing) {
    uint32_t mask = table->size - 1, i = thing->hash & mask;
    while (table->slot[i])
        i = (i + 1) & mask;
    table->slot[i] = thing;
}

void table_add(Arena *arena, Table *table, void *thing) {
    if (2 * (table->used + 1) > table->size) {
        Table old = *table;
        table->size = old.size ? 2 * old.size : FIRST_SIZE;
        table->slot = NEW_ARRAY(arena, Interned *, table->size);
        for (uint32_t i = 0; i < old.size; i++)
            if (old.slot[i]) insert(table, old.slot[i]);
    }
    Interned *interned = thing;
    interned->id = table->used++;
    insert(table, interned);
}

Graph *graph_new(Arena *arena) {
    Graph *g = NEW(arena, Graph);
    g->arena = arena;
    g->tables = NEW(arena, Tables);
    return g;
}

const Program *unit_program(const Unit *unit, const char *name) {
    for (int i = 0; i < unit->programs.len; i++)
        if (!strcmp(unit->programs.at[i].name, name)) return &unit->programs.at[i];
    return NULL;
}
