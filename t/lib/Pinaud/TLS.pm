package Pinaud::TLS;

# Copyright (C) the ngx_pinaud_module authors

# A throw-away certificate authority, by the openssl command.
#
#   my $tls = Pinaud::TLS->new;
#   $tls->ca                                  path of the CA's certificate
#   my ($cert, $key) = $tls->server('api.pinterest.com', 'localhost');
#   my ($cert, $key) = $tls->client('growth');          CN=growth
#   my ($cert, $key) = $tls->server({ days => 0 }, 'localhost');
#                                             expires within a second
#   my ($cert, $key) = $tls->node('localhost');         a server that is its
#                                                       peers' client, too

use warnings;
use strict;

use Pinaud::Process;


sub new {
    my $class = shift;

    my $self = bless { dir => temp_dir('tls'), count => 0 }, $class;

    $self->openssl('req', '-x509', @{ key_options("$self->{dir}/ca") },
        '-subj', '/CN=Throw-away CA of a test', '-days', 2,
        '-addext', 'keyUsage=critical,keyCertSign,cRLSign');

    return $self;
}


sub ca { "$_[0]{dir}/ca.crt" }


sub server {
    my ($self, @names) = @_;

    my $opt = ref $names[0] ? shift @names : {};

    return $self->issue($names[0], alternatives(@names)
        . "extendedKeyUsage=serverAuth\n", $opt->{days});
}


sub node {
    my ($self, @names) = @_;

    return $self->issue($names[0], alternatives(@names)
        . "extendedKeyUsage=serverAuth,clientAuth\n");
}


sub alternatives {
    my @names = @_;

    return 'subjectAltName=' . join(',',
        map { /^[\d.]+$|:/ ? "IP:$_" : "DNS:$_" } @names) . "\n";
}


sub client {
    my ($self, $name) = @_;

    return $self->issue($name, "extendedKeyUsage=clientAuth\n");
}


sub issue {
    my ($self, $name, $extensions, $days) = @_;

    my $base = "$self->{dir}/" . ++$self->{count};

    spew("$base.ext", "basicConstraints=CA:FALSE\n$extensions");

    my @options = @{ key_options($base) };
    $options[-1] = "$base.csr";

    $self->openssl('req', '-new', @options, '-subj', "/CN=$name");
    $self->openssl('x509', '-req', '-in', "$base.csr",
        '-CA', $self->ca, '-CAkey', "$self->{dir}/ca.key",
        '-CAcreateserial', '-days', $days // 2, '-extfile', "$base.ext",
        '-out', "$base.crt");

    return ("$base.crt", "$base.key");
}


sub key_options {
    my $base = shift;

    return ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1',
        '-nodes', '-keyout', "$base.key", '-out', "$base.crt"];
}


sub openssl {
    my ($self, @args) = @_;

    my ($exit, $output) = run_command(['openssl', @args]);
    die "openssl $args[0]:\n$output" if $exit;
}


1;
