// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dashi::test {

/// What a whole safetensors file says, by a second reading of the rules that shares no code with
/// the library: a document tree first, rules afterwards.
struct OracleTensor {
  std::string dtype;
  std::vector<std::uint64_t> shape;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  friend bool operator==(OracleTensor const&, OracleTensor const&) = default;
};

struct OracleFile {
  std::map<std::string, OracleTensor> tensors;
  std::map<std::string, std::string> metadata;
  friend bool operator==(OracleFile const&, OracleFile const&) = default;
};

namespace oracle {

struct Bad : std::runtime_error {
  using std::runtime_error::runtime_error;
};

inline void require(bool condition, char const* rule) {
  if (!condition) {
    throw Bad(rule);
  }
}

struct Value {
  enum class Kind { object, array, string, number, word } kind = Kind::word;
  std::string text;               // of a string, its characters; of a number or word, its spelling
  std::vector<std::string> keys;  // of an object, whose values are `items`
  std::vector<Value> items;       // of an object or array

  Value const* get(std::string_view key) const {
    for (std::size_t i = 0; i < keys.size(); ++i) {
      if (keys[i] == key) {
        return &items[i];
      }
    }
    return nullptr;
  }
};

/// Decodes UTF-8 by value: every sequence must be the shortest for its code point.
inline std::vector<std::uint32_t> decode(std::string_view bytes) {
  std::vector<std::uint32_t> points;
  for (std::size_t i = 0; i < bytes.size();) {
    auto const lead = static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[i]));
    std::size_t extra = 0;
    std::uint32_t point = lead;
    if (lead >= 0xf0) {
      extra = 3;
      point = lead - 0xf0;
      require(point < 8, "utf-8");
    } else if (lead >= 0xe0) {
      extra = 2;
      point = lead - 0xe0;
    } else if (lead >= 0xc0) {
      extra = 1;
      point = lead - 0xc0;
    } else {
      require(lead < 0x80, "utf-8");
    }
    require(extra < bytes.size() - i, "utf-8");
    for (std::size_t k = 1; k <= extra; ++k) {
      auto const next = static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[i + k]));
      require(next / 64 == 2, "utf-8");
      point = point * 64 + next % 64;
    }
    static constexpr std::uint32_t smallest[] = {0, 0x80, 0x800, 0x10000};
    require(point >= smallest[extra] && point <= 0x10ffff && point / 0x800 != 0x1b, "utf-8");
    points.push_back(point);
    i += extra + 1;
  }
  return points;
}

inline void encode(std::string& out, std::uint32_t point) {
  if (point < 0x80) {
    out += static_cast<char>(point);
    return;
  }
  int const extra = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
  static constexpr std::uint32_t lead[] = {0, 0xc0, 0xe0, 0xf0};
  out += static_cast<char>(lead[extra] + (point >> (6 * extra)));
  for (int k = extra - 1; k >= 0; --k) {
    out += static_cast<char>(0x80 + (point >> (6 * k)) % 64);
  }
}

/// Recursive descent over code points; 0x110000 stands for the end.
class Reader {
public:
  explicit Reader(std::vector<std::uint32_t> points) : points_(std::move(points)) {}

  Value document(bool leading_space) {
    require(leading_space || at() == '{', "starts with {");
    space();
    require(at() == '{', "an object");
    Value v = value(1);
    space();
    require(at() == end, "nothing after it");
    return v;
  }

private:
  static constexpr std::uint32_t end = 0x110000;
  std::uint32_t at() const { return i_ < points_.size() ? points_[i_] : end; }
  void space() {
    while (at() == ' ' || at() == '\n' || at() == '\r' || at() == '\t') {
      ++i_;
    }
  }
  bool take(char32_t c) {
    space();
    bool const is = at() == static_cast<std::uint32_t>(c);
    i_ += is ? 1 : 0;
    return is;
  }

  Value value(int depth) {
    require(depth <= 5, "depth");
    space();
    Value v;
    if (take(U'{')) {
      require(depth <= 4, "depth");
      v.kind = Value::Kind::object;
      std::set<std::string> seen;
      if (take(U'}')) {
        return v;
      }
      do {
        space();
        std::string key = string();
        require(seen.insert(key).second, "unique keys");
        require(take(U':'), "colon");
        v.keys.push_back(std::move(key));
        v.items.push_back(value(depth + 1));
      } while (take(U','));
      require(take(U'}'), "closing brace");
    } else if (take(U'[')) {
      require(depth <= 4, "depth");
      v.kind = Value::Kind::array;
      if (take(U']')) {
        return v;
      }
      do {
        v.items.push_back(value(depth + 1));
      } while (take(U','));
      require(take(U']'), "closing bracket");
    } else if (at() == '"') {
      v.kind = Value::Kind::string;
      v.text = string();
    } else {
      while ((at() >= '0' && at() <= '9') || (at() >= 'a' && at() <= 'z') || at() == 'E' ||
             at() == '+' || at() == '-' || at() == '.') {
        v.text += static_cast<char>(at());
        ++i_;
      }
      bool const word = v.text == "true" || v.text == "false" || v.text == "null";
      v.kind = word ? Value::Kind::word : Value::Kind::number;
      require(word || is_number(v.text), "a value");
    }
    return v;
  }

  static bool is_number(std::string_view t) {
    auto const digits = [&t] {
      std::size_t n = 0;
      while (n < t.size() && t[n] >= '0' && t[n] <= '9') {
        ++n;
      }
      std::string_view const run = t.substr(0, n);
      t.remove_prefix(n);
      return run;
    };
    t.remove_prefix(t.starts_with("-") ? 1 : 0);
    std::string_view const whole = digits();
    if (whole.empty() || (whole.size() > 1 && whole[0] == '0')) {
      return false;
    }
    if (t.starts_with(".")) {
      t.remove_prefix(1);
      if (digits().empty()) {
        return false;
      }
    }
    if (t.starts_with("e") || t.starts_with("E")) {
      t.remove_prefix(1);
      t.remove_prefix(t.starts_with("+") || t.starts_with("-") ? 1 : 0);
      if (digits().empty()) {
        return false;
      }
    }
    return t.empty();
  }

  std::uint32_t hex4() {
    std::uint32_t v = 0;
    for (int k = 0; k < 4; ++k, ++i_) {
      static constexpr std::string_view digits = "0123456789abcdef";
      std::uint32_t const c = at() >= 'A' && at() <= 'F' ? at() + 32 : at();
      std::size_t const d = c < 128 ? digits.find(static_cast<char>(c)) : std::string_view::npos;
      require(d != std::string_view::npos, "hexadecimal digit");
      v = v * 16 + static_cast<std::uint32_t>(d);
    }
    return v;
  }

  std::string string() {
    require(at() == '"', "a string");
    ++i_;
    std::string out;
    for (;;) {
      std::uint32_t c = at();
      require(c != end && c >= 0x20, "string character");
      ++i_;
      if (c == '"') {
        return out;
      }
      if (c == '\\') {
        static constexpr std::string_view from = "\"\\/bfnrt";
        static constexpr std::string_view to = "\"\\/\b\f\n\r\t";
        std::uint32_t const e = at();
        ++i_;
        if (e == 'u') {
          c = hex4();
          if (c / 0x400 == 0x36) {  // d800 to dbff
            require(at() == '\\', "low surrogate");
            ++i_;
            require(at() == 'u', "low surrogate");
            ++i_;
            std::uint32_t const low = hex4();
            require(low / 0x400 == 0x37, "low surrogate");
            c = 0x10000 + (c % 0x400) * 0x400 + low % 0x400;
          }
          require(c / 0x400 != 0x37, "lone surrogate");
        } else {
          std::size_t const k = e < 128 ? from.find(static_cast<char>(e)) : std::string_view::npos;
          require(k != std::string_view::npos, "escape");
          c = static_cast<std::uint32_t>(static_cast<unsigned char>(to[k]));
        }
      }
      encode(out, c);
    }
  }

  std::vector<std::uint32_t> points_;
  std::size_t i_ = 0;
};

inline std::uint64_t plain_number(Value const& v) {
  require(
      v.kind == Value::Kind::number && v.text.find_first_not_of("0123456789") == std::string::npos,
      "plain integer");
  require(v.text.size() <= 15, "2^48");
  std::uint64_t const n = std::stoull(v.text);
  require(n <= 281474976710656U, "2^48");
  return n;
}

inline OracleTensor tensor_of(Value const& v, bool lenient) {
  static std::map<std::string, std::uint64_t> const widths{
      {"BOOL", 8},        {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},
      {"I8", 8},          {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8},
      {"F8_E5M2FNUZ", 8}, {"I16", 16},    {"U16", 16},    {"F16", 16},    {"BF16", 16},
      {"I32", 32},        {"U32", 32},    {"F32", 32},    {"C64", 64},    {"F64", 64},
      {"I64", 64},        {"U64", 64}};
  require(v.kind == Value::Kind::object, "entry");
  Value const* const dtype = v.get("dtype");
  Value const* const shape = v.get("shape");
  Value const* const offsets = v.get("data_offsets");
  require(dtype != nullptr && shape != nullptr && offsets != nullptr, "fields");
  require(lenient ? v.keys.size() <= 19 : v.keys.size() == 3, "no other fields");
  require(dtype->kind == Value::Kind::string && widths.count(dtype->text) == 1, "dtype");
  require(shape->kind == Value::Kind::array && shape->items.size() <= 8, "rank");
  require(offsets->kind == Value::Kind::array && offsets->items.size() == 2, "offsets");
  OracleTensor t;
  t.dtype = dtype->text;
  long double product = 1;
  bool zero = false;
  for (Value const& item : shape->items) {
    t.shape.push_back(plain_number(item));
    zero = zero || t.shape.back() == 0;
    product *= t.shape.back() == 0 ? 1.0L : static_cast<long double>(t.shape.back());
  }
  require(product <= 281474976710656.0L, "product");
  t.begin = plain_number(offsets->items[0]);
  t.end = plain_number(offsets->items[1]);
  std::uint64_t const size = zero ? 0 : static_cast<std::uint64_t>(product) * widths.at(t.dtype);
  require(size % 8 == 0 && t.begin + size / 8 == t.end, "size");
  return t;
}

}  // namespace oracle

/// The content of the file, or nothing when the rules reject it.
inline std::optional<OracleFile> oracle_read(std::string_view file, bool lenient) {
  using namespace oracle;
  try {
    require(file.size() >= 8, "length");
    std::uint64_t n = 0;
    for (int i = 7; i >= 0; --i) {
      n = n * 256 + static_cast<unsigned char>(file[static_cast<std::size_t>(i)]);
    }
    require(n >= 1 && n <= 100000000 && n <= file.size() - 8, "length");
    Value const root = Reader(decode(file.substr(8, n))).document(lenient);
    OracleFile out;
    std::map<std::uint64_t, std::uint64_t> pieces;
    for (std::size_t i = 0; i < root.keys.size(); ++i) {
      std::string const& name = root.keys[i];
      Value const& v = root.items[i];
      if (name == "__metadata__") {
        require(v.kind == Value::Kind::object, "metadata");
        for (std::size_t k = 0; k < v.keys.size(); ++k) {
          require(v.items[k].kind == Value::Kind::string, "metadata");
          out.metadata[v.keys[k]] = v.items[k].text;
        }
        continue;
      }
      OracleTensor const t = tensor_of(v, lenient);
      require(t.begin == t.end || pieces.emplace(t.begin, t.end).second, "overlap");
      out.tensors[name] = t;
    }
    std::set<std::uint64_t> boundaries{0};
    std::uint64_t at = 0;
    while (pieces.count(at) == 1) {
      std::uint64_t const next = pieces[at];
      pieces.erase(at);
      at = next;
      boundaries.insert(at);
    }
    require(pieces.empty() && at == file.size() - 8 - n, "coverage");
    for (auto const& [name, t] : out.tensors) {
      require(t.begin != t.end || boundaries.count(t.begin) == 1, "zero size at a boundary");
    }
    return out;
  } catch (Bad const&) {
    return std::nullopt;
  }
}

}  // namespace dashi::test
