/* SPDX-License-Identifier: MIT
 * Tests of the runtime's writer where it is not a plain new file that is written: devices, the names
 * of open files, old modes. Needs Criterion. Whole files and full disks are in runtime_io.c. */
#include "io.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = P_tmpdir "/gradus-writer-XXXXXX";

static void enter(void) {
    cr_assert(mkdtemp(folder) && !chdir(folder));
}
static void leave(void) {
    unlink("a");
    if (!strstr(folder, "XXXXXX")) rmdir(folder);
}
TestSuite(writer, .fini = leave);

Test(writer, a_device_is_written_straight) {
    Fault fault;
    Writer writer;
    struct stat there;
    cr_assert(writer_open(&writer, "/dev/null", &fault) && writer_commit(&writer, &fault));
    cr_assert(!stat("/dev/null", &there) && S_ISCHR(there.st_mode));
    cr_assert(writer_open(&writer, "/dev/full", &fault) && fputs("gone", writer.file) >= 0);
    cr_assert(!writer_commit(&writer, &fault) && strstr(fault.text, "disk is full"), "%s", fault.text);
}

Test(writer, the_name_of_an_open_file_is_no_file) {
    Fault fault;
    Writer writer;
    enter();
    FILE *file = fopen("a", "w+");
    char *name = io_format("/proc/self/fd/%d", fileno(file));
    cr_assert(writer_open(&writer, name, &fault) && !writer.temporary);
    fputs("one", writer.file);
    cr_assert(writer_commit(&writer, &fault), "%s", fault.text);
    char text[8] = "";
    rewind(file);
    cr_assert(fgets(text, sizeof text, file) && !strcmp(text, "one"));
    fclose(file);
}

Test(writer, a_new_file_has_the_mode_of_the_old) {
    Fault fault;
    Writer writer;
    struct stat there;
    enter();
    FILE *old = fopen("a", "w");
    cr_assert(old && fputs("old", old) >= 0 && !fclose(old));
    chmod("a", 0600);
    cr_assert(writer_open(&writer, "a", &fault) && writer_commit(&writer, &fault));
    cr_assert(!stat("a", &there) && (there.st_mode & 0777) == 0600 && there.st_size == 0);
}
