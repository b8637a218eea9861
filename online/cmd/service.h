/*
 * The service manager: sockets that it hands over, and what it is told. Built with libsystemd;
 * without it, and where no manager started us, there are no sockets and nobody to tell.
 */
#ifndef LCF_ONLINE_CMD_SERVICE_H
#define LCF_ONLINE_CMD_SERVICE_H

#include "common/base/status.h"

#include <stddef.h>

#define LCF_SERVICE_SOCKETS_MAX 6

/* Listening sockets that were handed over. errors: EIO it cannot be read, ELIMIT too many */
lcf_status lcf_service_sockets(int fds[LCF_SERVICE_SOCKETS_MAX], size_t *n, lcf_err *err);
void lcf_service_ready(void);
void lcf_service_reloading(void);
void lcf_service_stopping(void);
void lcf_service_alive(void);
/* How often it wants to hear that we are alive; 0: not at all. */
double lcf_service_watchdog_s(void);

#endif
