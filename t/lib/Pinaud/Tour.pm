package Pinaud::Tour;

# Copyright (C) the ngx_pinaud_module authors

# The tour of "make run": sends the documentation's examples through a gateway
# and shows what became of them. Each stop says what it expects; what is not so
# is shown as a fault and counted.
#
#   my $faults = Pinaud::Tour->new($gateway, \%team_keys)->go;

use warnings;
use strict;

use JSON::PP ();
use Pinaud::Gateway qw(account create_path custom_path);
use Pinaud::HTTP;
use Pinaud::Show;

my $lookalike = <<'EOF';
{
  "name": "Like our buyers",
  "sharing_type": "CUSTOM",
  "data_party": "1p",
  "rule": {
    "seed_id": ["2542620639259"],
    "country": "US",
    "percentage": "10"
  }
}
EOF

my $visitors = <<'EOF';
{
  "name": "Bought last half year",
  "audience_type": "VISITOR",
  "rule": {
    "visitor_source_id": ["2617998078212"],
    "retention_days": "180",
    "event": "checkout",
    "event_data": {"currency": "USD", "value": 116.10,
      "line_items": [{"product_id": "11", "product_price": 48}]}
  }
}
EOF

my $engaged = <<'EOF';
{
  "name": "Clicked our Pins",
  "audience_type": "ENGAGEMENT",
  "rule": {"engagement_domain": ["www.example.com"], "engager_type": 1}
}
EOF

my $listed = <<'EOF';
{
  "name": "Newsletter",
  "sharing_type": "CUSTOM",
  "data_party": "1p",
  "rule": {"customer_list_id": "5497558859876"}
}
EOF

my $wrong = <<'EOF';
{
  "name": " ",
  "sharing_type": "PUBLIC",
  "rule": {
    "seed_id": ["2542620639259"],
    "country": "us",
    "percentage": "30"
  }
}
EOF


sub new {
    my ($class, $gateway, $keys) = @_;

    return bless { gateway => $gateway, keys => $keys, faults => 0 }, $class;
}


sub go {
    my $self = shift;

    $self->forwarded;
    $self->untouched;
    $self->refused;
    $self->strangers;
    $self->pinterest_says;
    $self->quota;

    return $self->{faults};
}


sub expect {
    my ($self, $true, $what) = @_;

    return if $true;

    $self->{faults}++;
    say_line(red("  This is not as it should be: $what"));
}


# Sends a body and shows it; returns the response and what arrived.

sub create {
    my ($self, $team, $path, $body, %opt) = @_;

    $body =~ s/\n\z//;
    $self->{gateway}->arrived;

    my $r = post($self->{gateway}, $path, $body,
        headers => ["Authorization: Bearer $self->{keys}{$team}"]);
    my ($there) = $self->{gateway}->arrived;

    return ($r, $there) if $opt{quiet};

    line("$team sends", "POST $path");

    if ($there) {
        changes($body, $there->{body});

    } else {
        changes($body, $body);
    }

    return ($r, $there);
}


sub show_gateway {
    my $r = shift;

    my @edits = ($r->header('Pinaud-Edits') // '') =~ m{(/[^" ,]+)}g;
    my $outcome = $r->header('Pinaud-Outcome') // 'nothing';

    my $what = $outcome;
    $what .= ', edited ' . join ' and ', map { yellow($_) } @edits if @edits;
    $what .= ', byte for byte' if !@edits && $outcome eq 'forwarded';

    line('the gateway', $what);
}


sub show_arrived {
    my ($self, $there) = @_;

    if (!$there) {
        line('Pinterest got', 'nothing');
        return;
    }

    my @lines = ("$there->{method} $there->{target}",
        $there->{tls} ? "over TLS, to $there->{sni}" : ());

    for my $field (@{ $there->{headers} }) {
        my ($name, $value) = @$field;

        # the simulator's token, but a habit not to be got into
        if (lc $name eq 'authorization') {
            $value = substr($value, 0, 15) . dim('...  put on by the gateway');
        }

        push @lines, "$name: $value";
    }

    line('Pinterest got', join "\n", @lines);
}


sub show_answer {
    my $r = shift;

    my $json = eval { $r->json } // {};
    my $what = green($r->{status});

    $what .= "  audience $json->{id}, $json->{audience_type}, "
        . "$json->{status}" if $json->{id};

    line('it answered', $what);
}


sub forwarded {
    my $self = shift;

    title('A look-alike audience, as the documentation\'s example has it');
    text('Its percentage is a string there and an integer in the API\'s '
        . 'description.');

    my ($r, $there) = $self->create(growth => custom_path, $lookalike);

    show_gateway($r);
    $self->show_arrived($there);
    show_answer($r);
    $self->check_created($r, $there);
    $self->expect(($r->header('Pinaud-Edits') // '')
        eq '"/rule/percentage"', 'one edit');

    title('Visitors who bought');
    text('Two more forms of the examples; numbers keep their digits.');

    ($r, $there) = $self->create(growth => create_path, $visitors);

    show_gateway($r);
    show_answer($r);
    $self->check_created($r, $there);
    $self->expect($there && $there->{body} =~ /"value": 116\.10,/,
        'digits are kept');
}


sub check_created {
    my ($self, $r, $there) = @_;

    my $token = $self->{gateway}->token;
    my $keys = join '|', map { quotemeta } values %{ $self->{keys} };

    $self->expect($r->{status} == 200, "it is created ($r->{status})");
    $self->expect($there && $there->{head} =~ /^Authorization: Bearer \Q$token\E\r$/m,
        'the token arrives');
    $self->expect($there && $there->{head} !~ /$keys/,
        'the team\'s key does not');
    $self->expect(!defined $r->header('Set-Cookie'), 'no cookie comes back');
}


sub untouched {
    my $self = shift;

    title('What is right already goes through as it came');

    for my $example (['engaged people', create_path, $engaged],
        ['a customer list', custom_path, $listed])
    {
        my ($name, $path, $body) = @$example;
        my ($r, $there) = $self->create(growth => $path, $body, quiet => 1);

        line($name, "POST $path");
        show_gateway($r);
        show_answer($r);

        $self->check_created($r, $there);
        $self->expect($there && $there->{body} eq ($body =~ s/\n\z//r),
            'byte for byte');
    }
}


sub refused {
    my $self = shift;

    title('A body with mistakes: all are told at once');

    my ($r, $there) = $self->create(growth => custom_path, $wrong);
    my $problem = eval { $r->json } // {};

    show_gateway($r);
    line('it answers', red($r->{status}) . '  '
        . ($r->header('Content-Type') // ''));
    text('  "detail": "' . ($problem->{detail} // '') . '"');

    for my $error (@{ $problem->{errors} || [] }) {
        say_line(sprintf '    %-18s %-9s %s', $error->{pointer},
            $error->{code}, $error->{detail});
    }

    $self->show_arrived($there);

    $self->expect($r->{status} == 400, 'it is refused');
    $self->expect(@{ $problem->{errors} || [] } == 5, 'for five reasons');
    $self->expect(!$there, 'nothing arrives');
}


sub strangers {
    my $self = shift;

    title('Who may, and for which account');

    my @cases = (
        ['no team key', 401, create_path, []],
        ['a mistyped one', 401, create_path,
            ["Authorization: Bearer \u$self->{keys}{growth}"]],
        ['another account', 403, create_path('549755885176'),
            ["Authorization: Bearer $self->{keys}{growth}"]],
        ['a path trick', 400, '/v5/ad_accounts/' . account . '/./audiences',
            ["Authorization: Bearer $self->{keys}{growth}"]],
    );

    $self->{gateway}->arrived;

    for my $case (@cases) {
        my ($name, $status, $path, $headers) = @$case;

        my $r = post($self->{gateway}, $path, $engaged, headers => $headers);
        my $problem = eval { $r->json } // {};

        line($name, red($r->{status}) . '  ' . ($problem->{detail}
            // $problem->{title} // ''));
        $self->expect($r->{status} == $status, "$name is $status");
    }

    my @arrived = $self->{gateway}->arrived;
    $self->show_arrived($arrived[0]);
    $self->expect(!@arrived, 'nothing arrives');
}


sub pinterest_says {
    my $self = shift;

    title('What Pinterest itself refuses comes back as Pinterest said it');

    $self->{gateway}->sim->fault(kind => 'forbidden');
    my ($r, $there) = $self->create(growth => create_path, $engaged,
        quiet => 1);

    show_gateway($r);
    line('it answered', red($r->{status}) . "  $r->{body}\n"
        . 'x-pinterest-rid: ' . ($r->header('x-pinterest-rid') // '')
        . dim('  for Pinterest\'s support'));

    $self->expect($r->{status} == 403 && $r->json->{code} == 29,
        'Pinterest\'s answer');
}


sub quota {
    my $self = shift;

    title('Team "brand" has 3 requests a minute: its quota runs out');

    my $r;

    for my $n (1 .. 4) {
        ($r) = $self->create(brand => create_path, $engaged, quiet => 1);

        my $colour = $r->{status} == 200 ? \&green : \&red;

        line("request $n", $colour->($r->{status}) . '  '
            . ($r->header('Pinaud-Outcome') // ''));
        $self->expect($r->{status} == ($n < 4 ? 200 : 429),
            "request $n gets $r->{status}");
    }

    my $problem = eval { $r->json } // {};

    line('it answers', $problem->{detail} // '');

    for my $field ('Retry-After', 'RateLimit', 'RateLimit-Policy') {
        my ($first, @rest) = split /(?<=,) /, $r->header($field) // '';
        line('', join "\n", "$field: " . ($first // ''),
            map { ' ' x length("$field: ") . $_ } @rest);
    }

    $self->expect(($r->header('Retry-After') // '') =~ /^[1-9]\d*$/,
        'Retry-After tells when');

    my ($exit, $usage) = $self->{gateway}->ctl('usage', account);

    line('pinaudctl', "usage " . account);
    text($usage);
    $self->expect($exit == 0, 'pinaudctl tells the usage');
}


1;
