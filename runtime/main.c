/* SPDX-License-Identifier: MIT
 * The entry of an executable. Needs the compiler's `gr_model`. Alone in its file, so that a program
 * with a main of its own can link this archive too. */
#include "run.h"

int main(int argc, char **argv) {
    return cli_main(argc, argv, &gr_model);
}
