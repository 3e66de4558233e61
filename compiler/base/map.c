/* SPDX-License-Identifier: MIT
 * Maps from pointers to pointers: open addressing, iterated in order of insertion.
 * Needs the arena.
 * Does not compare what keys point to and does not remove. */
#include "base.h"

static size_t hash_pointer(const void *key) {
    uint64_t bits = (uint64_t)(uintptr_t)key;
    bits = (bits ^ (bits >> 31)) * 0x9e3779b97f4a7c15u;
    return (size_t)(bits ^ (bits >> 29));
}

/* The place in the table that holds `key`, or the empty one where it would go. */
static int *find(const Map *map, const void *key) {
    size_t mask = (size_t)map->table_size - 1;
    size_t i = hash_pointer(key) & mask;
    while (map->table[i] && map->slots.at[map->table[i] - 1].key != key)
        i = (i + 1) & mask;
    return &map->table[i];
}

/** Makes `map` empty; its memory comes from `arena`. */
void map_init(Map *map, Arena *arena) {
    *map = (Map){.arena = arena};
}

/** The value of `key`, NULL where it is absent. */
void *map_get(const Map *map, const void *key) {
    if (!map->table_size) return NULL;
    int slot = *find(map, key);
    return slot ? map->slots.at[slot - 1].value : NULL;
}

/** Whether `key` was put, with any value. */
bool map_has(const Map *map, const void *key) {
    return map->table_size && *find(map, key);
}

/** Gives `key` this value; a key that is there keeps its place in the order. */
void map_put(Map *map, const void *key, void *value) {
    if ((map->slots.len + 1) * 2 > map->table_size) {
        map->table_size = map->table_size ? map->table_size * 2 : ROOM(8, 2);
        map->table = NEW_ARRAY(map->arena, int, map->table_size);
        for (int i = 0; i < map->slots.len; i++)
            *find(map, map->slots.at[i].key) = i + 1;
    }
    int *place = find(map, key);
    if (*place) {
        map->slots.at[*place - 1].value = value;
        return;
    }
    VEC_PUSH(map->arena, map->slots, ((MapSlot){key, value}));
    *place = map->slots.len;
}

/** The value of `key`: memory of the map's own, zeroed, where it is absent. */
void *map_new(Map *map, const void *key, size_t size) {
    void *value = map_get(map, key);
    if (!value) map_put(map, key, value = arena_alloc(map->arena, size));
    return value;
}
