/* SPDX-License-Identifier: MIT */
/*
 * One request and its answer on their way: made by the front when the first
 * byte arrives, handed to one of the engine's threads when the request is
 * whole, and back when it is answered. One thread has it at a time.
 */
#ifndef HTTP_EXCHANGE_H
#define HTTP_EXCHANGE_H

#include <netinet/in.h>

#include "base/op_queue.h"
#include "http/chunked.h"
#include "http/head.h"
#include "http/router.h"

enum {
    /* A whole head, and as much again of the body that comes with it. */
    HTTP_INPUT_MAX = 2 * HTTP_HEAD_MAX,
};

struct front_conn;
struct front_listener;

struct exchange {
    struct op op; /* in the front's queue of answered ones */
    struct exchange *next;
    struct front_conn *conn;
    const struct http_route *route; /* NULL: no route answers it */
    struct http_request request;
    struct http_response response;
    struct celery_buf wire; /* the answer; */
    size_t sent;            /* so much of it is with the kernel */
    int fd;                 /* the client's; open as long as this lives */
    int link;               /* the engine's, while a thread has it; else -1 */
    bool on_probe_port;     /* it came to METRICS_PORT */
    char peer[INET6_ADDRSTRLEN];
    char client[INET6_ADDRSTRLEN];
    char detail[64]; /* of a refusal */

    struct http_head head;
    struct http_chunked chunked;
    struct celery_str path;  /* of the target; not decoded */
    struct celery_str query; /* data NULL: none */
    size_t scanned;          /* of the head */
    size_t head_len;         /* 0: not whole yet */
    size_t used;             /* bytes of input that belong to this request */
    size_t len;              /* bytes of input */
    size_t body_limit;       /* more is 413 */
    int64_t body_started_us;
    char input[HTTP_INPUT_MAX];
};

#endif /* HTTP_EXCHANGE_H */
