/* SPDX-License-Identifier: MIT
 * The words of the text form, shared by printer and reader.
 * Needs ir.h. Private to this folder. */
#ifndef GRADUS_TEXT_H
#define GRADUS_TEXT_H
#include "ir.h"

enum { TEXT_VERSION = 1, REDUCES = RED_ARGMIN + 1, LEAF_KINDS = NODE_COMP };
extern const char *const text_reduce[REDUCES];
extern const char *const text_leaf[LEAF_KINDS];
extern const char *const text_draw[DRAW_BERNOULLI + 1];
extern const char *const text_program[PROGRAM_KINDS];
extern const char *const text_result[RESULT_STOP + 1];
/* The lists of leaves that a unit keeps, by the word that introduces each. */
enum { TEXT_LISTS = 5 };
extern const char *const text_list[TEXT_LISTS];
NodeList *unit_list(Unit *unit, int list);
/* Index of word in a table of n words, or -1. */
int text_find(const char *const *table, int n, const char *word);
#endif
