/* SPDX-License-Identifier: MIT */
/*
 * What a deposit's task is called and carries: the tx_id and nothing else, so
 * that a forged message can credit nothing.
 */
#ifndef DEPOSITS_DEPOSIT_MESSAGE_H
#define DEPOSITS_DEPOSIT_MESSAGE_H

#define DEPOSIT_TASK       "app.tasks.deposits.process_deposit"
#define DEPOSIT_TASK_ALIAS "app.tasks.process_deposit"
#define DEPOSIT_QUEUE      "deposits"

#endif /* DEPOSITS_DEPOSIT_MESSAGE_H */
