# Words and numbers of a text: splitting, arrays, patterns.
{
    for (i = 1; i <= NF; i++) {
        word = tolower($i)
        sub(/[.,;]$/, "", word)
        if (word ~ /^[0-9]+$/)
            sum += word
        else
            count[word]++
    }
    lengths[length($0) % 10]++
}
END {
    for (word in count) {
        words++
        if (count[word] > most || (count[word] == most && word < top)) {
            most = count[word]
            top = word
        }
    }
    print NR, words, sum, most, top, lengths[3]
}
