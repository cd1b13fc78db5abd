-- Recursive calls.   fib.lua ROUNDS
local function fib(n)
    if n < 2 then return n end
    return fib(n - 1) + fib(n - 2)
end

for _ = 1, tonumber(arg[1]) - 1 do fib(27) end
print(fib(27))
