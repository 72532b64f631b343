/* SPDX-License-Identifier: MIT */
#include "webhook/status.h"

#include <string.h>
#include <strings.h>

/* docs/api.md lists them. */
static const struct {
    const char *word;
    enum status_meaning meaning;
} words[] = {
    {"confirmed", STATUS_FINAL},
    {"complete", STATUS_FINAL},
    {"completed", STATUS_FINAL},
    {"success", STATUS_FINAL},
    {"successful", STATUS_FINAL},
    {"succeeded", STATUS_FINAL},
    {"finalized", STATUS_FINAL},
    {"finalised", STATUS_FINAL},
    {"final", STATUS_FINAL},
    {"finished", STATUS_FINAL},
    {"settled", STATUS_FINAL},
    {"mined", STATUS_FINAL},
    {"done", STATUS_FINAL},
    {"ok", STATUS_FINAL},
    {"true", STATUS_FINAL},
    {"1", STATUS_FINAL},
    {"0x1", STATUS_FINAL},
    {"pending", STATUS_PENDING},
    {"unconfirmed", STATUS_PENDING},
    {"confirming", STATUS_PENDING},
    {"processing", STATUS_PENDING},
    {"in_progress", STATUS_PENDING},
    {"waiting", STATUS_PENDING},
    {"queued", STATUS_PENDING},
    {"submitted", STATUS_PENDING},
    {"broadcast", STATUS_PENDING},
    {"broadcasted", STATUS_PENDING},
    {"broadcasting", STATUS_PENDING},
    {"mempool", STATUS_PENDING},
    {"detected", STATUS_PENDING},
    {"seen", STATUS_PENDING},
    {"failed", STATUS_FAILED},
    {"failure", STATUS_FAILED},
    {"reverted", STATUS_FAILED},
    {"rejected", STATUS_FAILED},
    {"dropped", STATUS_FAILED},
    {"replaced", STATUS_FAILED},
    {"canceled", STATUS_FAILED},
    {"cancelled", STATUS_FAILED},
    {"expired", STATUS_FAILED},
    {"error", STATUS_FAILED},
    {"invalid", STATUS_FAILED},
    {"refunded", STATUS_FAILED},
    {"chargeback", STATUS_FAILED},
    {"orphaned", STATUS_FAILED},
    {"removed", STATUS_FAILED},
    {"reorged", STATUS_FAILED},
    {"double_spend", STATUS_FAILED},
    {"double_spent", STATUS_FAILED},
    {"false", STATUS_FAILED},
    {"0", STATUS_FAILED},
    {"0x0", STATUS_FAILED},
};

static struct celery_str trimmed(struct celery_str text)
{
    while (text.len > 0 && *text.data == ' ') {
        text.data++;
        text.len--;
    }
    while (text.len > 0 && text.data[text.len - 1] == ' ')
        text.len--;
    return text;
}

static enum status_meaning known_word(struct celery_str text)
{
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strlen(words[i].word) == text.len
            && strncasecmp(words[i].word, text.data, text.len) == 0)
            return words[i].meaning;
    }
    return STATUS_UNKNOWN;
}

enum status_meaning status_meaning(const struct webhook_source *source,
                                   struct celery_str text)
{
    text = trimmed(text);
    if (text_list_has(&source->failed, text))
        return STATUS_FAILED;
    if (text_list_has(&source->pending, text))
        return STATUS_PENDING;
    if (text_list_has(&source->final, text))
        return STATUS_FINAL;
    bool own_words = source->failed.count > 0 || source->pending.count > 0
                  || source->final.count > 0;
    return own_words ? STATUS_UNKNOWN : known_word(text);
}
