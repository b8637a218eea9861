/* A working folder of a group of tests, in memory where that can be had: they sync hundreds of
 * files. */
#ifndef LCF_TESTS_UNIT_STORE_WORK_FOLDER_H
#define LCF_TESTS_UNIT_STORE_WORK_FOLDER_H

/* The group's setup and teardown. */
int work_folder_enter(void **state);
int work_folder_leave(void **state);

#endif
