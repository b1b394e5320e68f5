// Asio and Beast compiled once, instead of in every file that includes them: two cores build this project.
#include <boost/asio/impl/src.hpp>
#include <boost/beast/src.hpp>
