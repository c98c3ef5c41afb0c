// The suffixes of Kubernetes' quantities: "m" is a thousandth, "Ki" 1024.
#pragma once

#include <array>
#include <string_view>

namespace envicutor {

struct QuantitySuffix {
  std::string_view text;
  int decimal_exponent;  // power of ten
  int binary_shift;      // power of two
};
inline constexpr std::array<QuantitySuffix, 16> kQuantitySuffixes = {{{"", 0, 0},
                                                                      {"n", -9, 0},
                                                                      {"u", -6, 0},
                                                                      {"m", -3, 0},
                                                                      {"k", 3, 0},
                                                                      {"M", 6, 0},
                                                                      {"G", 9, 0},
                                                                      {"T", 12, 0},
                                                                      {"P", 15, 0},
                                                                      {"E", 18, 0},
                                                                      {"Ki", 0, 10},
                                                                      {"Mi", 0, 20},
                                                                      {"Gi", 0, 30},
                                                                      {"Ti", 0, 40},
                                                                      {"Pi", 0, 50},
                                                                      {"Ei", 0, 60}}};

}  // namespace envicutor
