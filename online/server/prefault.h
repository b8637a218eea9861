/* Pages of mapped files, touched before a request has to. Private to online/server. */
#ifndef LCF_ONLINE_SERVER_PREFAULT_H
#define LCF_ONLINE_SERVER_PREFAULT_H

/*
 * Makes present every page of every file under `folder` (absolute, no links) that this process
 * maps. What cannot be is left to the request that needs it.
 */
void lcf_prefault(const char *folder);

#endif
