-- Strings: joining, formatting, patterns, tables of words.   strings.lua ROUNDS
local total, counts = 0, {}
for r = 1, tonumber(arg[1]) do
    local parts = {}
    for i = 1, 400 do
        parts[i] = string.format("%d:%s", i * r % 1009, ("x"):rep(i % 9))
    end
    local text = table.concat(parts, " ")
    for number, tail in text:gmatch("(%d+):(x*)") do
        counts[tail] = (counts[tail] or 0) + tonumber(number)
    end
    total = total + #text:gsub("x+", string.upper):reverse() + (text:find("77:xx", 1, true) or 0)
end
print(total, counts["xxx"])
