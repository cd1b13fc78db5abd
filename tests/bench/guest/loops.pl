# Loops over numbers, strings, hashes and patterns.   loops.pl ROUNDS
use strict;
use warnings;
use integer;

my ($rounds) = @ARGV;
my ($sum, %seen, @list) = (0);
for my $r (1 .. $rounds) {
    for my $i (1 .. 20000) {
        $sum = ($sum * 33 + $i) & 0xffffff;
        $sum ^= $i << 3 if $i % 3;
    }
    my $text = '';
    for my $i (1 .. 3000) {
        my $word = 'w' . ($sum + $i * 17) % 997;
        $seen{$word}++;
        push @list, $word if $i % 50 == 0;
        $text .= "$word ";
    }
    $sum += () = $text =~ /w(\d)\1\d /g;
    $text =~ s/w(\d+)/$1 + 1/ge;
    $sum += length $text;
    @list = (sort @list)[0 .. 99] if @list > 200;
}
print join(' ', $sum, scalar(keys %seen), @list[0 .. 3]), "\n";
