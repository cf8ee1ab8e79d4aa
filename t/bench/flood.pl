#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# What a flood of refused requests does to others: 99th percentile of the
# latency of one account's creates, without and with another account over its
# quota calling as fast as it can; and the commands that the flood cost Redis.
#
#   perl t/bench/flood.pl [SECONDS]

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Pinaud::Gateway;
use Pinaud::HTTP;
use Pinaud::Nginx;
use Pinaud::Process;

my $seconds = $ARGV[0] // 4;
my $other = '549755885176';

Pinaud::Nginx::no_tests();

my $gw = Pinaud::Gateway->new(limits => ['none'], limits_all => ['none'],
    accounts => { account() => { limits => ['3/60s'],
            teams => { growth => [] } },
        $other => { limits => [], teams => { growth => [] } } },
    http => 'keepalive_requests 1000000;

        # faster than the simulator, whose own latency would hide the rest

        upstream quick { server 127.0.0.1:%%PORT:quick%%; keepalive 32; }
        server {
            listen 127.0.0.1:%%PORT:quick%%;
            location / { return 200 "{}"; }
        }',
    locations => '
        location /v5/ {
            pinaud on;
            pinaud_team $http_x_team;
            proxy_pass http://quick;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }');

spew("$gw->{dir}/flood.lua", <<'EOF');
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["X-Team"] = "growth"
wrk.body = '{"name":"x","audience_type":"VISITOR",' ..
    '"rule":{"visitor_source_id":"2617998078212"}}'
done = function(summary, latency)
    io.write(string.format("RESULT %d %d\n", summary.requests,
        latency:percentile(99)))
end
EOF

sub wrk {
    my ($account, $connections, $time) = @_;

    return ['wrk', '-t', 1, '-c', $connections, '-d', $time, '-s',
        "$gw->{dir}/flood.lua", 'http://' . $gw->address
            . create_path($account)];
}

sub measure {
    my ($exit, $output) = run_command(wrk($other, 2, $seconds));
    my ($requests, $p99) = $output =~ /^RESULT (\d+) (\d+)/m or die $output;

    return ($requests, $p99 / 1000);
}

sub commands {
    my $stats = $gw->redis->cmd('INFO', 'commandstats');

    return $stats =~ /^cmdstat_evalsha:calls=(\d+)/m ? $1 : 0;
}

post($gw, create_path, body, team => 'growth') for 1 .. 4;

my @alone = measure();
my $flood = 0;

my $before = commands();
my ($exit, $output) = run_command(wrk(account(), 16, 2));
my ($refused) = $output =~ /^RESULT (\d+)/m;
my $asked = commands() - $before;

my $pid = fork // die "fork: $!\n";

if ($pid == 0) {
    open STDOUT, '>', '/dev/null';
    exec @{ wrk(account(), 16, $seconds + 1) };
}

my @beside = measure();
waitpid $pid, 0;

printf "%d refused requests in 2 s: %d questions to Redis, %.1f for 20,000\n",
    $refused, $asked, $asked * 20000 / $refused;
printf "another account: p99 %.2f ms alone, %.2f ms beside the flood, %.2f x\n",
    $alone[1], $beside[1], $beside[1] / $alone[1];
