
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Checks and writes a typical body as often as the argument says. What one
 * round costs is the difference of two run lengths; audience_bench.sh does
 * that with callgrind.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pinaud_audience.h"


/* The only edit is that of retention_days. */

static const char  bench_body[] =
    "{\"name\": \"Checkout visitors, last 180 days\", "
    "\"sharing_type\": \"CUSTOM\", \"data_party\": \"1p\", "
    "\"category\": \"DLX Demographics\", "
    "\"ad_account_id\": \"549755885175\", "
    "\"rule\": {\"visitor_source_id\": \"549755885175\", "
    "\"retention_days\": \"180\", "
    "\"event_source\": {\"=\": [\"web\", \"mobile\"]}, "
    "\"event\": \"checkout\", \"event_data\": {\"currency\": \"USD\", "
    "\"value\": 116.10, \"order_quantity\": 2, \"line_items\": ["
    "{\"product_id\": \"11\", \"product_name\": \"Red leather boots\", "
    "\"product_price\": 48}]}, \"prefill\": true}}";


int
main(int argc, char *argv[])
{
    long                         i, rounds;
    size_t                       len, size;
    void                        *scratch;
    unsigned char               *out;
    pinaud_audience_verdict_t    verdict;
    pinaud_audience_contract_t   contract;

    rounds = (argc > 1) ? strtol(argv[1], NULL, 10) : 1;
    len = sizeof(bench_body) - 1;

    memset(&contract, 0, sizeof(contract));
    contract.account = (const unsigned char *) "549755885175";
    contract.account_len = 12;
    contract.key[0] = 0x0123456789ABCDEF;
    contract.key[1] = 0xFEDCBA9876543210;

    size = pinaud_audience_scratch(len);
    scratch = malloc(size);
    out = malloc(len + 1);

    if (scratch == NULL || out == NULL) {
        return 2;
    }

    for (i = 0; i < rounds; i++) {
        pinaud_audience_check(&contract, (const unsigned char *) bench_body,
                              len, scratch, size, &verdict);

        if (!verdict.valid || verdict.nedits != 1) {
            fprintf(stderr, "the body is not valid\n");
            return 1;
        }

        pinaud_audience_write(&verdict, (const unsigned char *) bench_body,
                              len, out);
    }

    printf("%zu\n", len);

    free(scratch);
    free(out);

    return 0;
}
