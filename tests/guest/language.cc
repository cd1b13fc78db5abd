// What a C++ runtime rests on: unwinding, thread-local storage, static initialisers, wide arithmetic, locales.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iomanip>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <variant>
#include <vector>

struct Noisy {
    const char *name;
    explicit Noisy(const char *name) : name(name) { std::cout << "+" << name << " "; }
    ~Noisy() { std::cout << "-" << name << " "; }
};

struct Base { virtual ~Base() = default; virtual int id() const { return 1; } };
struct Left : virtual Base { int id() const override { return 2; } };
struct Right : virtual Base {};
struct Both : Left, Right {};

static Noisy at_start("static");
static thread_local int of_thread = 7;

static int deep(int n)
{
    Noisy *volatile keep = nullptr;
    if (n == 0)
        throw std::runtime_error("from the depth");
    return deep(n - 1) + (keep != nullptr);
}

static void nested()
{
    Noisy a("a");
    try {
        Noisy b("b");
        throw 42;
    } catch (int value) {
        Noisy c("c");
        throw std::out_of_range("again " + std::to_string(value));
    }
}

int main()
{
    try { nested(); } catch (const std::exception &error) { std::cout << error.what() << "\n"; }
    try { deep(500); } catch (const std::logic_error &) { std::cout << "wrong\n"; } catch (const std::exception &error) { std::cout << error.what() << "\n"; }
    try { std::vector<int>(3).at(3); } catch (const std::out_of_range &error) { std::cout << error.what() << "\n"; }
    try { std::string text(size_t(-1) / 2 + 100, 'x'); } catch (const std::length_error &error) { std::cout << "length\n"; }
    try { new char[size_t(1) << 60]; } catch (const std::bad_alloc &error) { std::cout << error.what() << "\n"; }
    std::exception_ptr kept;
    std::thread([&] { try { of_thread++; throw std::domain_error("of a thread"); } catch (...) { kept = std::current_exception(); } }).join();
    try { std::rethrow_exception(kept); } catch (const std::domain_error &error) { std::cout << error.what() << " " << of_thread << "\n"; }

    Both both;
    Base *base = &both;
    std::cout << base->id() << (dynamic_cast<Right *>(base) != nullptr) << (dynamic_cast<Left *>(static_cast<Right *>(&both)) == &both) << "\n";
    try { dynamic_cast<Right &>(*std::make_unique<Left>()); } catch (const std::bad_cast &) { std::cout << "bad cast\n"; }

    std::mutex mutex;
    std::atomic<long> counter{0};
    long guarded = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; t++)
        threads.emplace_back([&] { for (int i = 0; i < 2000; i++) { counter++; std::lock_guard<std::mutex> lock(mutex); guarded += i; } });
    for (auto &thread : threads) thread.join();
    std::cout << counter << " " << guarded << "\n";

    std::mt19937_64 random(5);
    std::vector<uint64_t> numbers(5000);
    std::generate(numbers.begin(), numbers.end(), std::ref(random));
    std::sort(numbers.begin(), numbers.end());
    std::cout << numbers.front() << " " << numbers.back() << " " << std::accumulate(numbers.begin(), numbers.end(), uint64_t(0)) << "\n";
    std::map<std::string, std::variant<int, double>> table{{"one", 1}, {"half", .5}};
    for (auto &[key, value] : table) std::visit([&, k = key](auto v) { std::cout << k << "=" << v << " "; }, value);
    std::cout << std::regex_replace("a1b22", std::regex("([0-9]+)"), "<$1>") << "\n";

    std::cout << std::setprecision(17) << std::sin(1e6) << " " << std::exp(0.1) << " " << std::pow(2, 0.5) << " " << std::tgamma(5.5) << " " << std::fma(0.1, 10, -1) << "\n";
    for (long double value : {1.0L / 3, 1e4000L, -0.0L, std::sqrt(2.0L), std::exp(1.0L), 123456789012345678.9L})
        std::printf("%.20Lg %La ", value, value);
    std::printf("\n%.40f %.3e %g %a\n", 0.1, 1e-310, 1e21, 1 / 3.0);
    std::printf("%Lf %.18Lg %d %d\n", strtold("0.1", nullptr), std::nextafter(1.0L, 2.0L), std::isinf(1 / std::strtod("0", nullptr)), std::isnan(std::sqrt(-1.0)));
    unsigned __int128 wide = ~(unsigned __int128)0 / 12345678901234567ull;
    std::printf("%llx%016llx %llu\n", (unsigned long long)(wide >> 64), (unsigned long long)wide, (unsigned long long)(wide % 1000000007));
    for (auto mode : {1.5, 2.5, -1.5, 1e18 + 0.5}) std::printf("%ld %.0f %.0f %.0f %ld ", lrint(mode), std::floor(mode), std::round(mode), std::nearbyint(mode), (long)mode);
    std::puts("");

    std::jmp_buf jump;
    volatile int rounds = 0;
    int came = setjmp(jump);
    if (came < 3) { rounds = rounds + 10; std::longjmp(jump, came + 1); }
    std::cout << rounds << " " << came << "\n";
    std::ostringstream text;
    text << std::hex << std::showbase << 255 << std::fixed << std::setprecision(2) << " " << 3.14159 << std::boolalpha << " " << true;
    std::cout << text.str() << "\n";
    std::set_terminate([] { std::cout << "terminate" << std::endl; std::_Exit(3); });
    std::cout.flush();
    throw 1;
}
