/* SPDX-License-Identifier: MIT */
/*
 * The threads that run requests: civetweb's, on a loopback port that the kernel
 * picks. The front keeps a connection ("link") to each thread that it uses and
 * sends a ticket over it: a request that holds a key and the link's number, not
 * a byte of the client's. The exchange itself stays in memory. So no second
 * parser reads what the front has read, and whoever finds the port but has not
 * the key gets 403.
 */
#ifndef HTTP_ENGINE_H
#define HTTP_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "celery/error.h"

struct engine;
struct exchange;

/* Answers the exchange; after it, it is the front's again. thread: any of the
 * engine's. */
typedef void (*engine_run_fn)(void *arg, struct exchange *exchange);

/* threads for any request, and reserve more for those that ask for it. All
 * signals must be blocked in the calling thread. */
enum celery_status engine_start(int threads, int reserve, engine_run_fn run,
                                void *arg, struct engine **ret,
                                struct celery_error *err) CELERY_MUST_CHECK;

/* The rest is for the front's thread alone. */

/* Gives the exchange to a thread; false: none is free. reserved: the reserve
 * may be used. */
bool engine_submit(struct engine *engine, struct exchange *exchange,
                   bool reserved);

/* Takes it back when no thread has begun it. false: one has. */
bool engine_withdraw(struct engine *engine, struct exchange *exchange);

/* The thread is done with it: the link is free. */
void engine_release(struct engine *engine, struct exchange *exchange,
                    int64_t now_us);

/* Ends links that were not used for a while: an open one costs civetweb a
 * wake-up every two seconds. */
void engine_trim(struct engine *engine, int64_t now_us);

/* Is there a link that engine_trim() may have to end? */
bool engine_has_links(const struct engine *engine);

/* Waits for what runs, ends the threads, frees. NULL is fine. */
void engine_stop(struct engine *engine);

#endif /* HTTP_ENGINE_H */
